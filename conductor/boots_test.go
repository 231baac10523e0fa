package conductor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/drivers"
)

// eyes is a boot interface that sees what a test says.
type eyes struct {
	drivers.NoOp
	mu    sync.Mutex
	boots map[string]drivers.SettledBoot
	on    []string // nodes that got power
	// react, if set, tells what is seen after a power-on.
	react func(uuid string, times int) drivers.SettledBoot
}

func (e *eyes) PowerOn(_ context.Context, uuid string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.on = append(e.on, uuid)
	if e.react != nil {
		e.boots[uuid] = e.react(uuid, len(e.on))
	}
	return nil
}

func (e *eyes) SettledBoots(context.Context) ([]drivers.SettledBoot, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []drivers.SettledBoot
	for _, b := range e.boots {
		list = append(list, b)
	}
	return list, nil
}

func (e *eyes) BootLog(context.Context, string) (any, error)                    { return nil, nil }
func (e *eyes) FollowBoot(context.Context, string, func(event any) error) error { return nil }

func (e *eyes) see(b drivers.SettledBoot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.boots == nil {
		e.boots = map[string]drivers.SettledBoot{}
	}
	e.boots[b.NodeUUID] = b
}

func (e *eyes) powerOns() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.on)
}

// seeing is the type scripted with eyes.
func seeing(s *script, p *power, e *eyes) *drivers.HardwareType {
	h := scripted(s, p)
	h.Interfaces["boot"] = map[string]any{"eyes": e}
	h.Defaults["boot"] = "eyes"
	return h
}

func often(s *conductor.Settings) { s.BootPoll = 2 * time.Millisecond }

// events lists the texts of the node's history that contain a word.
func (r *rig) events(t *testing.T, uuid, word string) []string {
	t.Helper()
	list, err := r.store.History(t.Context(), baremetal.HistoryQuery{NodeUUID: uuid, Page: baremetal.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range list {
		if strings.Contains(e.Event, word) {
			texts = append(texts, e.Event)
		}
	}
	return texts
}

// A step whose machine stands still has it power-cycled, and fails in words
// once the tries are used up.
func TestStepPowerCycles(t *testing.T) {
	t.Parallel()
	p, e := &power{state: baremetal.PowerOn}, &eyes{}
	s := &script{steps: steps("boot"), run: func(_ context.Context, t *drivers.Task, _ baremetal.Step) (drivers.Result, error) {
		if tries := t.Journal.Get(drivers.CyclesKey); tries == "2" {
			return drivers.Result{}, fmt.Errorf("stalled in kernel8.img after %s tries", tries)
		}
		return drivers.WaitFor(drivers.Wait{Reason: "it boots", Callback: true, Cycle: "stalled in kernel8.img"}), nil
	}}
	r := start(t, openStore(t, t.TempDir()), nil, seeing(s, p, e))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.DeployFailed)
	if !strings.Contains(got.LastError, "stalled in kernel8.img after 2 tries") {
		t.Errorf("last_error %q", got.LastError)
	}
	if cycles := r.events(t, n.UUID, "power-cycled (try "); len(cycles) != 2 {
		t.Errorf("history has %q", cycles)
	}
	if e.powerOns() != 2 {
		t.Errorf("the boot log was told of %d power-ons, want 2", e.powerOns())
	}
	if !got.Work.Journal.IsEmpty() {
		t.Errorf("journal left: %s", got.Work.Journal)
	}
}

// standstill is every interface whose machine may have to boot; it never does.
type standstill struct{ script }

func (*standstill) wait(t *drivers.Task, callback bool) (drivers.Result, error) {
	if tries := t.Journal.Get(drivers.CyclesKey); tries == "2" {
		return drivers.Result{}, fmt.Errorf("stalled in kernel8.img after %s tries", tries)
	}
	return drivers.WaitFor(drivers.Wait{Reason: "it boots", Callback: callback, Cycle: "stalled in kernel8.img"}), nil
}

func (*standstill) Validate(context.Context, *drivers.Task) error { return nil }
func (*standstill) Steps(_ context.Context, _ *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	if kind == baremetal.DeployStep {
		return nil, nil
	}
	return steps("boot"), nil
}

func (s *standstill) RunStep(_ context.Context, t *drivers.Task, _ baremetal.StepKind, _ baremetal.Step) (drivers.Result, error) {
	return s.wait(t, true)
}
func (s *standstill) Inspect(_ context.Context, t *drivers.Task) (drivers.Result, error) {
	return s.wait(t, false)
}
func (s *standstill) Rescue(_ context.Context, t *drivers.Task) (drivers.Result, error) {
	return s.wait(t, true)
}
func (s *standstill) Unrescue(_ context.Context, t *drivers.Task) (drivers.Result, error) {
	return s.wait(t, true)
}

// Whatever a machine is waited for, it is power-cycled when it stands still,
// and the wait fails in words.
func TestEveryWaitPowerCycles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		from, failed baremetal.ProvisionState
		ask          conductor.ProvisionRequest
	}{
		"clean": {baremetal.Manageable, baremetal.CleanFailed, conductor.ProvisionRequest{Verb: baremetal.VerbClean,
			CleanSteps: []baremetal.Step{{Interface: "deploy", Name: "boot"}}}},
		"automated clean": {baremetal.Manageable, baremetal.CleanFailed, conductor.ProvisionRequest{Verb: baremetal.VerbProvide}},
		"service": {baremetal.Active, baremetal.ServiceFailed, conductor.ProvisionRequest{Verb: baremetal.VerbService,
			ServiceSteps: []baremetal.Step{{Interface: "deploy", Name: "boot"}}}},
		"inspect":  {baremetal.Manageable, baremetal.InspectFailed, conductor.ProvisionRequest{Verb: baremetal.VerbInspect}},
		"rescue":   {baremetal.Active, baremetal.RescueFailed, conductor.ProvisionRequest{Verb: baremetal.VerbRescue, RescuePassword: "open sesame"}},
		"unrescue": {baremetal.Rescue, baremetal.UnrescueFailed, conductor.ProvisionRequest{Verb: baremetal.VerbUnrescue}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, e := &standstill{}, &eyes{}
			h := seeing(&s.script, &power{state: baremetal.PowerOn}, e)
			for _, kind := range []string{"deploy", "inspect", "rescue"} {
				h.Interfaces[kind], h.Defaults[kind] = map[string]any{"standstill": s}, "standstill"
			}
			r := start(t, openStore(t, t.TempDir()), nil, h)
			n := r.node(t, "n", available)
			if _, err := r.store.UpdateNode(t.Context(), n.UUID, func(n *baremetal.Node) error { n.SetState(tc.from, time.Now()); return nil }); err != nil {
				t.Fatal(err)
			}
			tc.ask.Minor = 115
			if err := r.SetProvision(t.Context(), who, n.UUID, tc.ask); err != nil {
				t.Fatal(err)
			}
			got := r.awaitState(t, n.UUID, tc.failed)
			if !strings.Contains(got.LastError, "stalled in kernel8.img after 2 tries") {
				t.Errorf("last_error %q", got.LastError)
			}
			if cycles := r.events(t, n.UUID, "power-cycled (try "); len(cycles) != 2 || e.powerOns() != 2 {
				t.Errorf("history has %q; the boot log was told of %d power-ons, want 2", cycles, e.powerOns())
			}
		})
	}
}

// A power-cycle that was decided before a crash is done once, and not counted again.
func TestPowerCycleOverACrash(t *testing.T) {
	t.Parallel()
	p, e := &power{state: baremetal.PowerOn}, &eyes{}
	s := &script{steps: steps("boot"), run: func(_ context.Context, t *drivers.Task, _ baremetal.Step) (drivers.Result, error) {
		if got := t.Journal.Get("own"); got != "kept" {
			return drivers.Result{}, fmt.Errorf("the step's own note is %q", got)
		}
		if tries := t.Journal.Get(drivers.CyclesKey); tries != "1" {
			return drivers.Result{}, fmt.Errorf("%s tries", tries)
		}
		return drivers.Done(), nil
	}}
	db := openStore(t, t.TempDir())
	r := start(t, db, nil, seeing(s, p, e))
	n := r.node(t, "n", available)
	r.stop(t)
	_, err := db.UpdateNode(t.Context(), n.UUID, func(n *baremetal.Node) error { // as the process that died left it
		n.SetState(baremetal.Deploying, time.Now())
		n.TargetProvisionState, n.Work.Intent.Verb = baremetal.Active, baremetal.VerbActive
		n.Work.Steps, n.Work.Place, n.Work.WakeAt = steps("boot"), "default", time.Now()
		n.Work.Journal = info("power_cycling", "stalled", drivers.CyclesKey, "1", "own", "kept", "power_cycle.backplane.cycle", "{}")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sets := len(p.epochs)
	r = start(t, db, nil, seeing(s, p, e))
	got := r.await(t, n.UUID, "deployed or failed", func(n *baremetal.Node) bool {
		return (n.ProvisionState == baremetal.Active || n.ProvisionState == baremetal.DeployFailed) && n.Work.Reservation == ""
	})
	if got.ProvisionState != baremetal.Active {
		t.Errorf("%s: %s", got.ProvisionState, got.LastError)
	}
	if len(p.epochs) != sets+1 {
		t.Errorf("the power was switched %d times, want once", len(p.epochs)-sets)
	}
}

// A boot that nobody waited for is recorded once, also over a restart.
func TestBootIsRecordedOnce(t *testing.T) {
	t.Parallel()
	e, db := &eyes{}, openStore(t, t.TempDir())
	r := start(t, db, often, seeing(&script{}, &power{state: baremetal.PowerOn}, e))
	n := r.node(t, "n", func(n *baremetal.Node) {
		available(n)
		n.ProvisionState, n.PowerState = baremetal.Active, baremetal.PowerOn
	})
	b := drivers.SettledBoot{NodeUUID: n.UUID, Start: time.Unix(100, 5), Up: true, Powered: true, Text: "since power-on: kernel after 9 s",
		Figures: map[string]any{"stages": map[string]any{"kernel": 9.5}}}
	e.see(b)
	got := r.await(t, n.UUID, "recorded", func(n *baremetal.Node) bool { return n.DriverInternalInfo.Has("boot") })
	boot, _ := got.DriverInternalInfo.Get("boot").(map[string]any)
	if boot["outcome"] != "up" || boot["text"] != b.Text || fmt.Sprint(boot["stages"]) != "map[kernel:9.5]" {
		t.Errorf("kept %v", boot)
	}
	r.stop(t)
	r = start(t, db, often, seeing(&script{}, &power{state: baremetal.PowerOn}, e))
	b.NodeUUID = r.node(t, "other", available).UUID // recorded after it was looked at n again
	b.Start = time.Unix(200, 0)
	e.see(b)
	r.await(t, b.NodeUUID, "recorded", func(n *baremetal.Node) bool { return n.DriverInternalInfo.Has("boot") })
	if texts := r.events(t, n.UUID, "has booted"); len(texts) != 1 {
		t.Errorf("history has %q", texts)
	}
}

// Only an active machine of which nothing was seen is power-cycled, three times.
func TestActiveNodesAreLeftAlone(t *testing.T) {
	t.Parallel()
	silent := drivers.SettledBoot{Silent: true, Powered: true, Text: "nothing was seen"}
	for name, tc := range map[string]struct {
		change func(*drivers.SettledBoot, *baremetal.Node)
		off    bool
		want   int
	}{
		"silent":       {func(*drivers.SettledBoot, *baremetal.Node) {}, false, 3},
		"heard":        {func(b *drivers.SettledBoot, _ *baremetal.Node) { b.Silent = false }, false, 0},
		"unseen power": {func(b *drivers.SettledBoot, _ *baremetal.Node) { b.Powered = false }, false, 0},
		"maintenance":  {func(_ *drivers.SettledBoot, n *baremetal.Node) { n.Maintenance = true }, false, 0},
		"not active":   {func(_ *drivers.SettledBoot, n *baremetal.Node) { n.ProvisionState = baremetal.Available }, false, 0},
		"switched off": {func(*drivers.SettledBoot, *baremetal.Node) {}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, e := &power{state: baremetal.PowerOn}, &eyes{}
			b := silent
			e.react = func(uuid string, times int) drivers.SettledBoot {
				again := b
				again.NodeUUID, again.Start = uuid, time.Unix(int64(times), 0)
				return again
			}
			r := start(t, openStore(t, t.TempDir()), func(s *conductor.Settings) { often(s); s.NoBootCycles = tc.off }, seeing(&script{}, p, e))
			n := r.node(t, "n", func(n *baremetal.Node) {
				available(n)
				n.ProvisionState = baremetal.Active
				tc.change(&b, n)
			})
			r.await(t, n.UUID, "seen to be on", powered(baremetal.PowerOn))
			b.NodeUUID, b.Start = n.UUID, time.Unix(1000, 0)
			e.see(b)
			got := r.await(t, n.UUID, "given up", func(n *baremetal.Node) bool { return n.LastError != "" && n.Work.Reservation == "" })
			if got.LastError != "The machine does not boot: nothing was seen" || e.powerOns() != tc.want {
				t.Errorf("after %d power-cycles: %q", e.powerOns(), got.LastError)
			}
			texts := r.events(t, n.UUID, "power-cycled (try ")
			if len(texts) != tc.want || tc.want > 0 && !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "(try 3 of 3): nothing was seen") }) {
				t.Errorf("history has %q", texts)
			}
		})
	}
}
