package conductor_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/store"
)

// TestAnySequence: whatever is asked for, in whatever order, with failures,
// waits, agents and restarts in between, a node ends in a state of the table,
// and it is either free or claimed by the conductor that lives.
func TestAnySequence(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	r := start(t, s, func(s *conductor.Settings) { s.LockWait = time.Millisecond })
	verbs := []baremetal.Verb{
		baremetal.VerbManage, baremetal.VerbProvide, baremetal.VerbInspect, baremetal.VerbClean, baremetal.VerbAdopt, baremetal.VerbActive,
		baremetal.VerbDeploy, baremetal.VerbRebuild, baremetal.VerbDeleted, baremetal.VerbUndeploy, baremetal.VerbRescue,
		baremetal.VerbUnrescue, baremetal.VerbService, baremetal.VerbAbort, baremetal.VerbUnhold,
	}
	words := []string{"", "deploy", "clean", "service", "inspect", "rescue"}
	failures := append([]string{"verify", "adopt", "power", "teardown", "unrescue", "rescue_abort"}, words...)
	names := []string{"hold", "wait", "power_off", "power_on", "reboot", "deploy", "fake", "erase_devices", "no_such"}
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		n := baremetal.Node{Driver: "fake-hardware", ProvisionState: rapid.SampledFrom([]baremetal.ProvisionState{
			baremetal.Enroll, baremetal.Manageable, baremetal.Available, baremetal.Active}).Draw(t, "start")}
		if err := r.CreateNode(ctx, who, &n); err != nil {
			t.Fatal(err)
		}
		token := ""
		step := func() baremetal.Step {
			return baremetal.Step{Interface: "deploy", Name: rapid.SampledFrom(names).Draw(t, "step"), Priority: rapid.IntRange(0, 100).Draw(t, "priority")}
		}
		t.Repeat(map[string]func(*rapid.T){
			"verb": func(t *rapid.T) {
				steps := []baremetal.Step{step(), step()}
				err := r.SetProvision(ctx, who, n.UUID, conductor.ProvisionRequest{Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), Minor: 115,
					CleanSteps: steps, ServiceSteps: steps, DeploySteps: steps[:rapid.IntRange(0, 1).Draw(t, "given")],
					RescuePassword: "x", DisableRamdisk: rapid.Bool().Draw(t, "disable_ramdisk")})
				if err != nil && baremetal.KindOf(err) == baremetal.Internal {
					t.Fatal(err)
				}
			},
			"power": func(t *rapid.T) {
				target := rapid.SampledFrom([]baremetal.PowerTarget{baremetal.TargetOn, baremetal.TargetOff, baremetal.TargetReboot}).Draw(t, "power")
				if err := r.SetPower(ctx, who, n.UUID, conductor.PowerRequest{Target: target}); err != nil && baremetal.KindOf(err) == baremetal.Internal {
					t.Fatal(err)
				}
			},
			"options": func(t *rapid.T) {
				o := info("fake_wait", rapid.SampledFrom(words).Draw(t, "wait"), "fake_fail", rapid.SampledFrom(failures).Draw(t, "fail"))
				if _, err := s.UpdateNode(ctx, n.UUID, func(n *baremetal.Node) error { n.DriverInfo, n.Maintenance = o, false; return nil }); err != nil {
					t.Fatal(err)
				}
			},
			"agent": func(t *rapid.T) {
				if _, fresh, err := r.Lookup(ctx, n.UUID, nil); err == nil && fresh != "" {
					token = fresh
				}
				status := rapid.SampledFrom([]string{"", "start", "end", "error"}).Draw(t, "status")
				if err := r.Heartbeat(ctx, n.UUID, conductor.HeartbeatRequest{Token: token, Status: status}); err != nil && baremetal.KindOf(err) == baremetal.Internal {
					t.Fatal(err)
				}
			},
			"findings": func(t *rapid.T) {
				inventory := map[string]any{"cpu": map[string]any{"architecture": "aarch64"}}
				if _, err := r.ContinueInspection(ctx, n.UUID, nil, inventory, map[string]any{}); err != nil && baremetal.KindOf(err) == baremetal.Internal {
					t.Fatal(err)
				}
			},
			"wake": func(t *rapid.T) {
				if err := r.Wake(ctx, n.UUID); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) { consistent(t, s, n.UUID) },
		})
		settled(t, r, n.UUID)
	})
}

// consistent holds at every moment.
func consistent(t *rapid.T, s *store.Store, uuid string) {
	n, err := s.Node(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	if !n.ProvisionState.Valid() {
		t.Fatalf("state %q is not of the table", n.ProvisionState)
	}
	claimed := n.Work.ClaimOwner != ""
	if claimed != (n.Work.Reservation != "") || claimed && (n.Work.Reservation != "shack" || !strings.HasPrefix(n.Work.ClaimOwner, "shack/")) {
		t.Fatalf("claimed by %q, reserved by %q", n.Work.ClaimOwner, n.Work.Reservation)
	}
	if n.ProvisionState.Working() && !claimed && n.Work.WakeAt.IsZero() {
		t.Fatalf("in %q with nobody to work on it", n.ProvisionState)
	}
	if quiet := !n.ProvisionState.Working() && !n.ProvisionState.Waiting() && !n.ProvisionState.Holding(); quiet && len(n.Work.Steps) > 0 {
		t.Fatalf("in %q with steps left: %v", n.ProvisionState, n.Work.Steps)
	}
}

// settled waits until the node rests, and looks at how.
func settled(t *rapid.T, r *rig, uuid string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var n baremetal.Node
	rests := r.changes.Await(ctx, func() bool {
		var err error
		if n, err = r.store.Node(t.Context(), uuid); err != nil {
			t.Fatal(err)
		}
		return !n.ProvisionState.Working() && n.Work.Reservation == ""
	})
	if !rests {
		t.Fatalf("still in %q, reserved by %q", n.ProvisionState, n.Work.Reservation)
	}
	resting := n.ProvisionState.Waiting() || n.ProvisionState.Holding()
	if !resting && !n.Work.Intent.Idle() {
		t.Fatalf("rests in %q with the intent %+v", n.ProvisionState, n.Work.Intent)
	}
	if n.ProvisionState.Waiting() && n.Work.WakeAt.IsZero() {
		t.Fatalf("waits in %q without an end", n.ProvisionState)
	}
	if stable := slices.Contains([]baremetal.ProvisionState{baremetal.Enroll, baremetal.Manageable, baremetal.Available, baremetal.Active,
		baremetal.Rescue}, n.ProvisionState); stable && n.TargetProvisionState != "" && n.LastError == "" {
		t.Fatalf("rests in %q with the target %q", n.ProvisionState, n.TargetProvisionState)
	}
}
