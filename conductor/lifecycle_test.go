package conductor_test

import (
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

func TestLifeCycle(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	r := start(t, s, nil)
	n := r.node(t, "one", nil)
	if n.ProvisionState != baremetal.Enroll {
		t.Fatalf("new node is in %q", n.ProvisionState)
	}
	for _, step := range []struct {
		verb baremetal.Verb
		end  baremetal.ProvisionState
	}{
		{baremetal.VerbManage, baremetal.Manageable},
		{baremetal.VerbInspect, baremetal.Manageable},
		{baremetal.VerbProvide, baremetal.Available},
		{baremetal.VerbManage, baremetal.Manageable},
		{baremetal.VerbProvide, baremetal.Available},
		{baremetal.VerbActive, baremetal.Active},
		{baremetal.VerbRebuild, baremetal.Active},
		{baremetal.VerbRescue, baremetal.Rescue},
		{baremetal.VerbUnrescue, baremetal.Active},
		{baremetal.VerbDeleted, baremetal.Available},
	} {
		r.verb(t, n.UUID, step.verb)
		got := r.awaitState(t, n.UUID, step.end)
		if got.TargetProvisionState != "" || got.LastError != "" || !got.Work.Intent.Idle() || len(got.Work.Steps) != 0 {
			t.Errorf("after %s: target %q, error %q, intent %+v, steps %v", step.verb, got.TargetProvisionState, got.LastError, got.Work.Intent, got.Work.Steps)
		}
		if step.end == baremetal.Active && got.PowerState != baremetal.PowerOn {
			t.Errorf("after %s the power is %q", step.verb, got.PowerState)
		}
	}
}

func TestVerbsRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	r := start(t, s, nil)
	for name, tc := range map[string]struct {
		change func(*baremetal.Node)
		req    conductor.ProvisionRequest
		kind   baremetal.Kind
		says   string
	}{
		"not in this state": {req: conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 82},
			kind: baremetal.Invalid, says: `The requested action "active" can not be performed on node`},
		"newer verb":   {req: conductor.ProvisionRequest{Verb: baremetal.VerbManage, Minor: 3}, kind: baremetal.NotAcceptable, says: "1.4"},
		"unknown verb": {req: conductor.ProvisionRequest{Verb: "fly", Minor: 82}, kind: baremetal.Invalid, says: "fly"},
		"in maintenance": {change: func(n *baremetal.Node) { n.ProvisionState, n.Maintenance = baremetal.Available, true },
			req: conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 82}, kind: baremetal.Invalid, says: "maintenance"},
		"retired": {change: func(n *baremetal.Node) { n.ProvisionState, n.Retired = baremetal.Manageable, true },
			req: conductor.ProvisionRequest{Verb: baremetal.VerbProvide, Minor: 82}, kind: baremetal.Invalid, says: "retired"},
		"protected": {change: func(n *baremetal.Node) { n.ProvisionState, n.Protected = baremetal.Active, true },
			req: conductor.ProvisionRequest{Verb: baremetal.VerbDeleted, Minor: 82}, kind: baremetal.Forbidden, says: "protected"},
		"config drive": {change: func(n *baremetal.Node) { n.ProvisionState = baremetal.Available },
			req: conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 82, ConfigDrive: `"not a drive"`}, kind: baremetal.Invalid, says: "neither a JSON, nor a URL, nor a base64 string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := r.node(t, strings.ReplaceAll(name, " ", "-"), tc.change)
			err := r.SetProvision(t.Context(), who, n.UUID, tc.req)
			if !baremetal.IsKind(err, tc.kind) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v (%v), want kind %v with %q", err, baremetal.KindOf(err), tc.kind, tc.says)
			}
			after, err := s.Node(t.Context(), n.UUID)
			if err != nil || after.ProvisionState != n.ProvisionState || after.Work.Reservation != "" {
				t.Errorf("the node changed: %q reservation %q, %v", after.ProvisionState, after.Work.Reservation, err)
			}
		})
	}
}
