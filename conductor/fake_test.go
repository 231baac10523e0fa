package conductor_test

import (
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

func info(pairs ...string) baremetal.Object {
	var o baremetal.Object
	for i := 0; i < len(pairs); i += 2 {
		o = o.With(pairs[i], pairs[i+1])
	}
	return o
}

func (r *rig) ask(t *testing.T, uuid string, req conductor.ProvisionRequest) {
	t.Helper()
	req.Minor = 115
	if err := r.SetProvision(t.Context(), who, uuid, req); err != nil {
		t.Fatalf("%s: %v", req.Verb, err)
	}
}

func step(iface, name string, args map[string]any) baremetal.Step {
	return baremetal.Step{Interface: iface, Name: name, Args: args}
}

// TestEveryFailure reaches each failed state by a key of driver_info.
func TestEveryFailure(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	for name, tc := range map[string]struct {
		fail  string
		from  baremetal.ProvisionState
		req   conductor.ProvisionRequest
		end   baremetal.ProvisionState
		fault string
	}{
		"verify":    {"verify", baremetal.Enroll, conductor.ProvisionRequest{Verb: baremetal.VerbManage}, baremetal.Enroll, ""},
		"inspect":   {"inspect", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbInspect}, baremetal.InspectFailed, ""},
		"adopt":     {"adopt", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbAdopt}, baremetal.AdoptFailed, ""},
		"clean":     {"clean", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbProvide}, baremetal.CleanFailed, "clean failure"},
		"deploy":    {"deploy", baremetal.Available, conductor.ProvisionRequest{Verb: baremetal.VerbActive}, baremetal.DeployFailed, ""},
		"teardown":  {"teardown", baremetal.Active, conductor.ProvisionRequest{Verb: baremetal.VerbDeleted}, baremetal.ErrorState, ""},
		"rescue":    {"rescue", baremetal.Active, conductor.ProvisionRequest{Verb: baremetal.VerbRescue, RescuePassword: "pw"}, baremetal.RescueFailed, ""},
		"unrescue":  {"unrescue", baremetal.Rescue, conductor.ProvisionRequest{Verb: baremetal.VerbUnrescue}, baremetal.UnrescueFailed, ""},
		"service":   {"service", baremetal.Active, conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: []baremetal.Step{step("deploy", "deploy", nil)}}, baremetal.ServiceFailed, "service failure"},
		"one-step":  {"raid.delete_configuration", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: []baremetal.Step{step("raid", "delete_configuration", nil)}}, baremetal.CleanFailed, "clean failure"},
		"argument":  {"", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: []baremetal.Step{step("bios", "apply_configuration", nil)}}, baremetal.CleanFailed, ""},
		"no-such":   {"", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: []baremetal.Step{step("bios", "fly", nil)}}, baremetal.CleanFailed, ""},
		"ramdisk":   {"", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbClean, DisableRamdisk: true, CleanSteps: []baremetal.Step{step("deploy", "erase_devices", nil)}}, baremetal.CleanFailed, ""},
		"fake-step": {"", baremetal.Active, conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: []baremetal.Step{step("vendor", "fake", map[string]any{"fail": "so it shall be"})}}, baremetal.ServiceFailed, "service failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := r.node(t, name, func(n *baremetal.Node) { n.ProvisionState, n.DriverInfo = tc.from, info("fake_fail", tc.fail) })
			r.ask(t, n.UUID, tc.req)
			got := r.await(t, n.UUID, "in its failed state", func(n *baremetal.Node) bool {
				return n.ProvisionState == tc.end && n.LastError != "" && n.Work.Reservation == ""
			})
			if got.Fault != tc.fault || got.Maintenance != (tc.fault != "") {
				t.Errorf("fault %q, maintenance %v; want %q", got.Fault, got.Maintenance, tc.fault)
			}
			if !got.Work.Intent.Idle() {
				t.Errorf("intent left: %+v", got.Work.Intent)
			}
		})
	}
}

// TestStepsOfEveryInterface runs the fake step of each interface in each list.
func TestStepsOfEveryInterface(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	var all, deploy []baremetal.Step
	for _, iface := range []string{"vendor", "power", "management", "firmware", "deploy", "bios", "raid"} {
		if iface == "firmware" {
			continue // no-firmware by default
		}
		all = append(all, step(iface, "fake", nil))
		deploy = append(deploy, baremetal.Step{Interface: iface, Name: "fake", Priority: 50})
	}
	n := r.node(t, "n", func(n *baremetal.Node) { n.ProvisionState = baremetal.Manageable })
	raid := []any{map[string]any{"size_gb": "MAX", "raid_level": "1"}}
	all = append(all, step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "Turbo", "value": "On"}}}),
		step("raid", "apply_configuration", map[string]any{"raid_config": map[string]any{"logical_disks": raid}}))
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: all})
	r.awaitState(t, n.UUID, baremetal.Manageable)
	got := r.await(t, n.UUID, "with its RAID", func(n *baremetal.Node) bool { return !n.RAIDConfig.IsEmpty() })
	if d, found, err := r.store.Document(t.Context(), n.UUID, baremetal.BIOSDocument); !found || err != nil || !strings.Contains(string(d.Body), "Turbo") {
		t.Errorf("settings %+v %v", d, err)
	}
	if got.LastError != "" {
		t.Errorf("cleaning: %s", got.LastError)
	}
	r.verb(t, n.UUID, baremetal.VerbProvide)
	r.awaitState(t, n.UUID, baremetal.Available)
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbActive, DeploySteps: deploy})
	r.awaitState(t, n.UUID, baremetal.Active)
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: []baremetal.Step{
		step("deploy", "reboot", nil), step("vendor", "fake", nil), step("power", "wait", nil), step("power", "wait", map[string]any{"seconds": 0})}})
	r.await(t, n.UUID, "serviced", func(n *baremetal.Node) bool { return n.ProvisionState == baremetal.Active && n.Work.Reservation == "" })
	err := r.SetProvision(t.Context(), who, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbRebuild, Minor: 115,
		DeploySteps: []baremetal.Step{{Interface: "bios", Name: "apply_configuration", Priority: 10}}})
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "settings") {
		t.Errorf("a deploy step without its argument: %v", err)
	}
}

func TestHoldAndUnhold(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	n := r.node(t, "n", func(n *baremetal.Node) { n.ProvisionState = baremetal.Manageable })
	hold := []baremetal.Step{step("deploy", "hold", nil), step("deploy", "deploy", nil)}
	for _, tc := range []struct {
		req       conductor.ProvisionRequest
		held, end baremetal.ProvisionState
	}{
		{conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: hold}, baremetal.CleanHold, baremetal.Manageable},
		{conductor.ProvisionRequest{Verb: baremetal.VerbProvide}, "", baremetal.Available},
		{conductor.ProvisionRequest{Verb: baremetal.VerbActive, DeploySteps: []baremetal.Step{{Interface: "deploy", Name: "hold", Priority: 1}}}, baremetal.DeployHold, baremetal.Active},
		{conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: hold}, baremetal.ServiceHold, baremetal.Active},
	} {
		r.ask(t, n.UUID, tc.req)
		if tc.held != "" {
			got := r.awaitState(t, n.UUID, tc.held)
			if got.TargetProvisionState == "" {
				t.Errorf("%s: no target while held", tc.held)
			}
			if err := r.SetPower(t.Context(), who, n.UUID, conductor.PowerRequest{Target: baremetal.TargetOn}); err != nil && tc.held != baremetal.CleanHold {
				t.Errorf("%s: power: %v", tc.held, err)
			}
			r.await(t, n.UUID, "powered while held", func(n *baremetal.Node) bool { return n.TargetPowerState == "" && n.Work.Reservation == "" })
			r.verb(t, n.UUID, baremetal.VerbUnhold)
		}
		got := r.await(t, n.UUID, "at the end", func(n *baremetal.Node) bool { return n.ProvisionState == tc.end && n.Work.Reservation == "" })
		if got.LastError != "" || len(got.Work.Steps) != 0 {
			t.Errorf("%s: %q %v", tc.end, got.LastError, got.Work.Steps)
		}
	}
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: hold})
	r.awaitState(t, n.UUID, baremetal.ServiceHold)
	r.verb(t, n.UUID, baremetal.VerbAbort)
	r.awaitState(t, n.UUID, baremetal.ServiceFailed)
	r.verb(t, n.UUID, baremetal.VerbAbort)
	r.awaitState(t, n.UUID, baremetal.Active)
}

// TestAgent goes through every wait state as a deploy agent would.
func TestAgent(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	n := r.node(t, "n", func(n *baremetal.Node) {
		n.ProvisionState, n.DriverInfo = baremetal.Manageable, info("fake_wait", "deploy,clean,service,inspect,rescue")
	})
	port := baremetal.Port{NodeUUID: n.UUID, Address: "aa:bb:cc:dd:ee:01"}
	if err := r.CreatePort(t.Context(), who, &port); err != nil {
		t.Fatal(err)
	}
	addresses := []string{port.Address}
	if _, _, err := r.Lookup(t.Context(), "", addresses); !baremetal.IsKind(err, baremetal.NotFound) {
		t.Errorf("lookup while no agent is expected: %v", err)
	}
	for _, tc := range []struct {
		req       conductor.ProvisionRequest
		wait, end baremetal.ProvisionState
	}{
		{conductor.ProvisionRequest{Verb: baremetal.VerbProvide}, baremetal.CleanWait, baremetal.Available},
		{conductor.ProvisionRequest{Verb: baremetal.VerbActive}, baremetal.DeployWait, baremetal.Active},
		{conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: []baremetal.Step{step("deploy", "deploy", nil)}}, baremetal.ServiceWait, baremetal.Active},
		{conductor.ProvisionRequest{Verb: baremetal.VerbRescue, RescuePassword: "open sesame"}, baremetal.RescueWait, baremetal.Rescue},
	} {
		r.ask(t, n.UUID, tc.req)
		waiting := r.awaitState(t, n.UUID, tc.wait)
		if strings.Contains(string(waiting.InstanceInfo), "sesame") || tc.wait == baremetal.RescueWait && !strings.HasPrefix(waiting.InstanceInfo.Str("hashed_rescue_password"), "$6$") {
			t.Errorf("instance_info is %s", waiting.InstanceInfo)
		}
		_, token, err := r.Lookup(t.Context(), "", addresses)
		if err != nil || len(token) != 43 {
			t.Fatalf("%s: lookup: %q %v", tc.wait, token, err)
		}
		if _, again, err := r.Lookup(t.Context(), n.UUID, nil); err != nil || again != "" {
			t.Errorf("%s: the token is given twice: %q %v", tc.wait, again, err)
		}
		for name, bad := range map[string]conductor.HeartbeatRequest{
			"wrong token": {CallbackURL: "http://10.0.0.9:9999", Token: "x"},
			"no token":    {CallbackURL: "http://10.0.0.9:9999"},
			"metadata":    {CallbackURL: "http://169.254.169.254/", Token: token},
			"loopback":    {CallbackURL: "http://127.0.0.1:80/", Token: token},
			"file":        {CallbackURL: "file:///etc/passwd", Token: token},
		} {
			if err := r.Heartbeat(t.Context(), n.UUID, bad); !baremetal.IsKind(err, baremetal.Unauthorized) && !baremetal.IsKind(err, baremetal.Invalid) {
				t.Errorf("%s: %s: %v", tc.wait, name, err)
			}
		}
		if err := r.Heartbeat(t.Context(), n.UUID, conductor.HeartbeatRequest{CallbackURL: "http://10.0.0.9:9999", Token: token, Status: "start"}); err != nil {
			t.Fatal(err)
		}
		r.awaitState(t, n.UUID, tc.wait)
		if err := r.Heartbeat(t.Context(), n.UUID, conductor.HeartbeatRequest{CallbackURL: "http://10.0.0.8:9999", Token: token}); !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%s: the callback URL moved: %v", tc.wait, err)
		}
		if err := r.Heartbeat(t.Context(), n.UUID, conductor.HeartbeatRequest{CallbackURL: "http://10.0.0.9:9999", Token: token, Status: "end"}); err != nil {
			t.Fatal(err)
		}
		got := r.awaitState(t, n.UUID, tc.end)
		if strings.Contains(string(got.DriverInternalInfo), "agent_") || got.InstanceInfo.Has("hashed_rescue_password") {
			t.Errorf("%s: left behind: %s %s", tc.end, got.DriverInternalInfo, got.InstanceInfo)
		}
	}
	if _, _, err := r.Lookup(t.Context(), n.UUID, nil); !baremetal.IsKind(err, baremetal.NotFound) {
		t.Errorf("lookup of a node that waits for nothing: %v", err)
	}
}

// TestAgentFailsAndAborts ends each wait in its failed state.
func TestAgentFailsAndAborts(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	for name, tc := range map[string]struct {
		fail string
		from baremetal.ProvisionState
		req  conductor.ProvisionRequest
		wait baremetal.ProvisionState
		end  baremetal.ProvisionState
	}{
		"clean":   {"", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbProvide}, baremetal.CleanWait, baremetal.CleanFailed},
		"deploy":  {"", baremetal.Available, conductor.ProvisionRequest{Verb: baremetal.VerbActive}, baremetal.DeployWait, baremetal.DeployFailed},
		"inspect": {"", baremetal.Manageable, conductor.ProvisionRequest{Verb: baremetal.VerbInspect}, baremetal.InspectWait, baremetal.InspectFailed},
		"rescue":  {"rescue_abort", baremetal.Active, conductor.ProvisionRequest{Verb: baremetal.VerbRescue, RescuePassword: "x"}, baremetal.RescueWait, baremetal.RescueFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := r.node(t, name, func(n *baremetal.Node) {
				n.ProvisionState, n.DriverInfo = tc.from, info("fake_wait", name, "fake_fail", tc.fail)
			})
			r.ask(t, n.UUID, tc.req)
			r.awaitState(t, n.UUID, tc.wait)
			r.verb(t, n.UUID, baremetal.VerbAbort)
			r.awaitState(t, n.UUID, tc.end)
			if tc.fail != "" {
				got := r.await(t, n.UUID, "out of service", func(n *baremetal.Node) bool { return n.Maintenance })
				if got.Fault != "rescue abort failure" {
					t.Errorf("fault %q", got.Fault)
				}
			}
			if name == "deploy" {
				return
			}
			r.await(t, n.UUID, "without a rescue password", func(n *baremetal.Node) bool { return !n.InstanceInfo.Has("hashed_rescue_password") })
		})
	}
}

// TestAbortAfter: a step that must not be interrupted is finished first.
func TestAbortAfter(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	n := r.node(t, "n", func(n *baremetal.Node) {
		n.ProvisionState, n.DriverInfo = baremetal.Manageable, info("fake_wait", "clean")
	})
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: []baremetal.Step{step("raid", "delete_configuration", nil), step("deploy", "deploy", nil)}})
	r.awaitState(t, n.UUID, baremetal.CleanWait)
	r.verb(t, n.UUID, baremetal.VerbAbort)
	got := r.await(t, n.UUID, "still waiting", func(n *baremetal.Node) bool { return n.Work.Intent.AbortAfter && n.Work.Reservation == "" })
	if got.ProvisionState != baremetal.CleanWait || !got.CleanStep.Has("abort_after") {
		t.Errorf("after abort: %s %s", got.ProvisionState, got.CleanStep)
	}
	_, token, err := r.Lookup(t.Context(), n.UUID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Heartbeat(t.Context(), n.UUID, conductor.HeartbeatRequest{Token: token}); err != nil {
		t.Fatal(err)
	}
	got = r.awaitState(t, n.UUID, baremetal.CleanFailed)
	if !strings.Contains(got.LastError, "aborted by request after the step raid.delete_configuration") || got.Maintenance {
		t.Errorf("%q maintenance %v", got.LastError, got.Maintenance)
	}
}

// TestConfigDrive keeps every form for those who can use it, and refuses what is none.
func TestConfigDrive(t *testing.T) {
	t.Parallel()
	sc := &plainDeploy{}
	r := start(t, openStore(t, t.TempDir()), nil, sc.hardwareType())
	for name, tc := range map[string]struct {
		drive, driver string
		minor         int
		kind          baremetal.Kind
		keeps         string
	}{
		"base64":    {`"H4sIAAAA"`, "fake-hardware", 115, -1, `"configdrive":"H4sIAAAA"`},
		"broken-up": {`"H4sI\nAAAA"`, "fake-hardware", 1, -1, `"configdrive":"H4sI\nAAAA"`},
		"url":       {`"https://a/b"`, "fake-hardware", 115, -1, `"configdrive":"https://a/b"`},
		"object":    {`{"meta_data":{"x":1},"user_data":["a"]}`, "fake-hardware", 115, -1, `"name":"object"`},
		"vendor":    {`{"vendor_data":{}}`, "fake-hardware", 59, -1, `"vendor_data":{}`},
		"too-early": {`{"meta_data":{}}`, "fake-hardware", 55, baremetal.NotAcceptable, ""},
		"vendor-58": {`{"vendor_data":{}}`, "fake-hardware", 58, baremetal.NotAcceptable, ""},
		"unknown":   {`{"metadata":{}}`, "fake-hardware", 115, baremetal.Invalid, ""},
		"type":      {`{"meta_data":"x"}`, "fake-hardware", 115, baremetal.Invalid, ""},
		"number":    {`5`, "fake-hardware", 115, baremetal.Invalid, ""},
		"neither":   {`"a b c!"`, "fake-hardware", 115, baremetal.Invalid, ""},
		"file":      {`"file:///etc/shadow"`, "fake-hardware", 115, baremetal.Invalid, ""},
		"cannot":    {`"H4sIAAAA"`, "plain", 115, baremetal.Invalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := r.node(t, name, func(n *baremetal.Node) { n.ProvisionState, n.Driver = baremetal.Available, tc.driver })
			err := r.SetProvision(t.Context(), who, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: tc.minor, ConfigDrive: tc.drive})
			if tc.kind >= 0 {
				if !baremetal.IsKind(err, tc.kind) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.awaitState(t, n.UUID, baremetal.Active); !strings.Contains(string(got.InstanceInfo), tc.keeps) {
				t.Errorf("kept %s", got.InstanceInfo)
			}
		})
	}
	n := r.node(t, "patched-in", func(n *baremetal.Node) {
		n.ProvisionState, n.Driver, n.InstanceInfo = baremetal.Available, "plain", info("configdrive", "H4sIAAAA")
	})
	if err := r.SetProvision(t.Context(), who, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 115}); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("a drive in instance_info would be dropped: %v", err)
	}
}

func TestFamilyPower(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	parent := r.node(t, "parent", func(n *baremetal.Node) { n.PowerState = baremetal.PowerOff })
	child := r.node(t, "child", func(n *baremetal.Node) { n.ParentNode, n.PowerState = parent.UUID, baremetal.PowerOff })
	own := r.node(t, "own", func(n *baremetal.Node) {
		n.ParentNode, n.PowerState, n.DriverInfo = parent.UUID, baremetal.PowerOff, info("has_dedicated_power_supply", "True")
	})
	power := func(uuid string, target baremetal.PowerTarget) {
		t.Helper()
		if err := r.SetPower(t.Context(), who, uuid, conductor.PowerRequest{Target: target}); err != nil {
			t.Fatal(err)
		}
		r.await(t, uuid, string(target), func(n *baremetal.Node) bool { return n.TargetPowerState == "" && n.PowerState == target.Outcome() })
	}
	state := func(uuid string) baremetal.PowerState {
		n, err := r.store.Node(t.Context(), uuid)
		if err != nil {
			t.Fatal(err)
		}
		return n.PowerState
	}
	power(own.UUID, baremetal.TargetOn)
	if state(parent.UUID) != baremetal.PowerOff {
		t.Error("a child with a supply of its own switched its parent on")
	}
	power(child.UUID, baremetal.TargetOn)
	if state(parent.UUID) != baremetal.PowerOn {
		t.Error("the parent is not on")
	}
	power(parent.UUID, baremetal.TargetOff)
	if state(child.UUID) != baremetal.PowerOff || state(own.UUID) != baremetal.PowerOn {
		t.Errorf("children are %q and %q", state(child.UUID), state(own.UUID))
	}
	if err := r.DeleteNode(t.Context(), who, parent.UUID); !baremetal.IsKind(err, baremetal.Conflict) {
		t.Errorf("a node with children was deleted: %v", err)
	}
	for _, uuid := range []string{child.UUID, own.UUID, parent.UUID} {
		r.await(t, uuid, "free", func(n *baremetal.Node) bool { return n.Work.Reservation == "" })
		if err := r.DeleteNode(t.Context(), who, uuid); err != nil {
			t.Errorf("children first: %v", err)
		}
	}
	n := r.node(t, "steps", func(n *baremetal.Node) { n.ProvisionState = baremetal.Manageable })
	kid := r.node(t, "kid", func(k *baremetal.Node) { k.ParentNode, k.PowerState = n.UUID, baremetal.PowerOff })
	s := step("power", "power_on", nil)
	s.OnChildren = true
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: []baremetal.Step{step("power", "power_on", nil), s}})
	r.await(t, n.UUID, "cleaned", func(n *baremetal.Node) bool {
		return n.ProvisionState == baremetal.Manageable && n.Work.Reservation == ""
	})
	if state(kid.UUID) != baremetal.PowerOn {
		t.Errorf("the child is %q", state(kid.UUID))
	}
}

// TestPowerFailureAndRecovery takes a machine out of service that cannot tell
// its power, and back once it can; a person's maintenance stays.
func TestPowerFailureAndRecovery(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), func(s *conductor.Settings) {
		s.PowerSync, s.PowerRecovery = 5*time.Millisecond, 5*time.Millisecond
	})
	n := r.node(t, "n", func(n *baremetal.Node) {
		n.ProvisionState, n.PowerState, n.DriverInfo = baremetal.Active, baremetal.PowerOn, info("fake_fail", "power_state")
	})
	mine := r.node(t, "mine", func(n *baremetal.Node) {
		n.ProvisionState, n.Maintenance, n.DriverInfo = baremetal.Active, true, info("fake_health", "OK")
	})
	got := r.await(t, n.UUID, "out of service", func(n *baremetal.Node) bool { return n.Fault == "power failure" })
	if !got.Maintenance || got.PowerState != "" || got.MaintenanceReason == "" {
		t.Errorf("%v %q %q", got.Maintenance, got.PowerState, got.MaintenanceReason)
	}
	_, err := r.UpdateNode(t.Context(), who, n.UUID, func(n *baremetal.Node) error {
		n.DriverInfo = info("fake_power_state", "power off")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.await(t, n.UUID, "back", func(n *baremetal.Node) bool {
		return !n.Maintenance && n.Fault == "" && n.PowerState == baremetal.PowerOff
	})
	if after, err := r.store.Node(t.Context(), mine.UUID); err != nil || !after.Maintenance {
		t.Errorf("a person's maintenance was cleared: %v", err)
	}
}
