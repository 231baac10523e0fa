package backplane

import (
	"context"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/drivers"
	"caddyshack/sim/unit"
)

func TestPowerActions(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		for i, step := range []struct {
			target baremetal.PowerTarget
			want   baremetal.PowerState
		}{
			{baremetal.TargetOn, baremetal.PowerOn},
			{baremetal.TargetOn, baremetal.PowerOn},
			{baremetal.TargetOff, baremetal.PowerOff},
			{baremetal.TargetReboot, baremetal.PowerOn},
			{baremetal.TargetSoftOff, baremetal.PowerOff}, // the load does not listen: cut after the wait
			{baremetal.TargetSoftReboot, baremetal.PowerOn},
		} {
			tk := task("bpu-1", 1, int64(i+1))
			if err := r.power.SetPower(ctx, tk, step.target, time.Second); err != nil {
				t.Fatalf("%s: %v", step.target, err)
			}
			got, err := r.power.PowerState(ctx, tk)
			if err != nil || got != step.want {
				t.Fatalf("after %s: %q, %v", step.target, got, err)
			}
		}
		if s := r.units["bpu-1"].State(1); s.Epoch != 6 {
			t.Errorf("the unit has seen epoch %d", s.Epoch)
		}
		r.observed("bpu-1/1", func(o drivers.Observation) bool { return o.Power == baremetal.PowerOn })
	})
}

func TestRebootTakesThePowerAway(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 1), baremetal.TargetOn, 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 2), baremetal.TargetReboot, 0); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 5*time.Second {
			t.Fatalf("the cycle was over after %v", d)
		}
		r.observed("bpu-1/1", func(o drivers.Observation) bool { return o.Power == baremetal.PowerOff && o.Seq > 3 })
		r.observed("bpu-1/1", func(o drivers.Observation) bool { return o.Power == baremetal.PowerOn })
	})
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		on := func(unit string, slot int, target baremetal.PowerTarget) error {
			return r.power.SetPower(ctx, task(unit, slot, 1), target, 0)
		}
		wantError(t, on("bpu-1", 2, baremetal.TargetOn), "slot 2 of unit bpu-1", "empty", "put the caddy in")
		wantError(t, on("bpu-1", 3, baremetal.TargetOff), "slot 3 of unit bpu-1", "always-on jumper")
		wantError(t, on("bpu-1", 4, baremetal.TargetOn), "has 3 slots", "correct slot in driver_info")

		// A fault is told with its cause, and ends by switching off.
		low := false
		r.units["bpu-1"].StickPGood(1, &low)
		wantError(t, on("bpu-1", 1, baremetal.TargetOn), "fault no_power", "slot 1 of unit bpu-1", "connector")
		r.units["bpu-1"].StickPGood(1, nil)
		wantError(t, on("bpu-1", 1, baremetal.TargetOn), "in fault (no_power)", "switch it off, then on")
		if s, err := r.power.PowerState(ctx, task("bpu-1", 1, 0)); s != baremetal.PowerError || err != nil {
			t.Errorf("state %q, %v", s, err)
		}
		for _, target := range []baremetal.PowerTarget{baremetal.TargetOff, baremetal.TargetOn} {
			if err := on("bpu-1", 1, target); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.power.PowerState(ctx, task("bpu-1", 2, 0))
		wantError(t, err, "slot 2 of unit bpu-1 is empty")
	})
}

func TestUnknownUnit(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := r.power.PowerState(ctx, task("bpu-9", 1, 0))
		wantError(t, err, "unit bpu-9 has never been heard", "backplane_unit")
		if !baremetal.IsKind(err, baremetal.Unavailable) {
			t.Errorf("kind %v", baremetal.KindOf(err))
		}
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	r := newRig(t, bustest.Embedded(t, "bpu-1", "bpu-2"))
	for _, c := range []struct {
		info map[string]any
		want string
	}{
		{map[string]any{}, "backplane_unit"},
		{map[string]any{UnitProperty: "bpu-1"}, "slot"},
		{map[string]any{UnitProperty: "#", SlotProperty: 1}, "a-z"},
		{map[string]any{UnitProperty: "bpu-1", SlotProperty: 255}, "from 1 to 4"},
		{map[string]any{UnitProperty: "bpu-1", SlotProperty: -1}, "from 1 to 4"},
		{map[string]any{UnitProperty: "bpu-1", SlotProperty: "x"}, "from 1 to 4"},
		{map[string]any{UnitProperty: "bpu-1", SlotProperty: 4}, "has 3 slots"},
		{map[string]any{UnitProperty: "bpu-1", SlotProperty: "3"}, ""},
		{map[string]any{UnitProperty: "bpu-77", SlotProperty: 4}, ""},
	} {
		tk := &drivers.Task{Node: baremetal.Node{DriverInfo: baremetal.MustObject(c.info)}}
		err := r.power.Validate(t.Context(), tk)
		if c.want == "" {
			if err != nil {
				t.Errorf("%v: %v", c.info, err)
			}
			continue
		}
		wantError(t, err, c.want)
		if !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%v: kind %v", c.info, baremetal.KindOf(err))
		}
	}
	if key := r.power.HardwareKey(&task("bpu-1", 3, 0).Node); key != "bpu-1/3" {
		t.Errorf("hardware key %q", key)
	}
	if r.power.SupportsSoftPower(task("bpu-1", 3, 0)) || !r.power.SupportsSoftPower(task("bpu-1", 1, 0)) {
		t.Error("a switch cannot be shut down softly, a Pi can")
	}
}

func TestLaterClaimantSendsTheSameCommand(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		first := task("bpu-1", 1, 5)
		// The first claimant dies after the unit took the command.
		if err := r.power.SetPower(ctx, first, baremetal.TargetOn, 0); err != nil {
			t.Fatal(err)
		}
		seq := r.units["bpu-1"].State(1)
		second := task("bpu-1", 1, 6)
		second.Journal = &journal{kept: first.Journal.(*journal).kept}
		if err := r.power.SetPower(ctx, second, baremetal.TargetOn, 0); err != nil {
			t.Fatal(err)
		}
		// The unit's answer comes before the state that follows from the command.
		waitFor(t, "the unit has not noted the later epoch", func() bool { return r.units["bpu-1"].State(1).Epoch == 6 })
		if s := r.units["bpu-1"].State(1); s.Last != seq.Last {
			t.Fatalf("last %q, was %q", s.Last, seq.Last)
		}
		// The first one wakes up: the unit refuses its epoch, the journal its claim.
		first.Journal.(*journal).lost = true
		err := r.power.SetPower(ctx, first, baremetal.TargetOff, 0)
		if !baremetal.IsKind(err, baremetal.ClaimLost) {
			t.Fatalf("error %v", err)
		}
		ack, err := r.fleet.Command(ctx, "bpu-1", 1, bus.SlotCommand{Op: bus.OpOff, Epoch: 5})
		if err != nil || ack.Code != bus.CodeStale {
			t.Fatalf("%+v, %v", ack, err)
		}
		if s := r.units["bpu-1"].State(1); s.Power != bus.PowerOn {
			t.Fatalf("the slot is %s", s.Power)
		}
	})
}

func TestUnitRestartDuringAnAction(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		tk := task("bpu-1", 1, 5)
		if err := r.power.SetPower(ctx, tk, baremetal.TargetOn, 0); err != nil {
			t.Fatal(err)
		}
		u := r.units["bpu-1"]
		boot := u.State(1).Boot
		if err := u.Reset(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the unit does not come back", func() bool {
			s, err := r.fleet.Slot(ctx, "bpu-1", 1)
			return err == nil && s.State.Boot == boot+1
		})
		// A later claimant finds the journal; the state says that the command was executed.
		later := task("bpu-1", 1, 6)
		later.Journal = tk.Journal
		if err := r.power.SetPower(ctx, later, baremetal.TargetOn, 0); err != nil {
			t.Fatal(err)
		}
		if s := u.State(1); s.Last != "" || s.Power != bus.PowerOn {
			t.Fatalf("a command was sent: %+v", s)
		}
		// And one that was not executed is made anew for the new boot.
		off := task("bpu-1", 1, 7)
		off.Journal = &journal{kept: map[string]string{"backplane.off": `{"id":"old","boot":1,"epoch":7,"claim":7}`}}
		if err := r.power.SetPower(ctx, off, baremetal.TargetOff, 0); err != nil {
			t.Fatal(err)
		}
		if s := u.State(1); s.Power != bus.PowerOff || s.Last == "old" {
			t.Fatalf("%+v", s)
		}
	})
}

func TestEpochAboveWhatTheUnitHasSeen(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 4000), baremetal.TargetOn, 0); err != nil {
			t.Fatal(err)
		}
		// A database made anew begins with epoch 1.
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 1), baremetal.TargetOff, 0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMisbehavingUnits(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		u := r.units["bpu-1"]
		r.fleet = r.newFleet(Config{AckTimeout: 300 * time.Millisecond})
		quick := Power{&Driver{Fleet: r.fleet, Confirm: 100 * time.Millisecond}}
		set := func(target baremetal.PowerTarget) error { return quick.SetPower(ctx, task("bpu-1", 1, 1), target, 0) }

		// It says yes and does nothing.
		u.SetFaults(unit.Faults{Ignore: true})
		wantError(t, set(baremetal.TargetOn), "waiting for power on of slot 1 of unit bpu-1", "it reports off", "no 5 V")

		// It reports what was asked for, but the read-back tells otherwise.
		low := false
		u.StickPGood(1, &low)
		u.SetFaults(unit.Faults{Lie: true})
		wantError(t, set(baremetal.TargetOn), "waiting for power on of slot 1 of unit bpu-1", "contradicts itself", "check the unit")
		_, err := quick.PowerState(ctx, task("bpu-1", 1, 0))
		wantError(t, err, "contradicts itself")
		u.StickPGood(1, nil)
		u.SetFaults(unit.Faults{})
		if err := set(baremetal.TargetOff); err != nil {
			t.Fatal(err)
		}

		// It repeats itself.
		before := r.fleet.Stats().UnmatchedAcks
		u.SetFaults(unit.Faults{Repeat: 3})
		if err := set(baremetal.TargetOn); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "repeated acks are not counted", func() bool { return r.fleet.Stats().UnmatchedAcks >= before+3 })

		// It answers late: the error says so, the late answer is counted, and what happened is seen.
		u.SetFaults(unit.Faults{AckDelay: 600 * time.Millisecond})
		before = r.fleet.Stats().UnmatchedAcks
		wantError(t, set(baremetal.TargetOff), `sending "off" to slot 1 of unit bpu-1`, "no answer within 300ms", "although the unit is online")
		waitFor(t, "the late ack is not counted", func() bool { return r.fleet.Stats().UnmatchedAcks > before })
		if s, err := quick.PowerState(ctx, task("bpu-1", 1, 0)); s != baremetal.PowerOff || err != nil {
			t.Errorf("state %q, %v", s, err)
		}

		// It vanishes.
		u.SetFaults(unit.Faults{})
		u.Unplug()
		o := r.observed("bpu-1/1", func(o drivers.Observation) bool {
			return o.Power == baremetal.PowerUnknown && o.Reason != "" && strings.Contains(o.Reason, "offline")
		})
		if !strings.Contains(o.Reason, "unit bpu-1 is offline since") {
			t.Errorf("reason %q", o.Reason)
		}
		wantError(t, set(baremetal.TargetOn), "unit bpu-1 is offline since", "power and Wi-Fi")
		if err := u.Replug(); err != nil {
			t.Fatal(err)
		}
		back := r.observed("bpu-1/1", func(o drivers.Observation) bool { return o.Power == baremetal.PowerOff })
		if back.Boot != o.Boot || back.Seq < o.Seq {
			t.Errorf("%+v after %+v", back, o)
		}
		waitFor(t, "the other controller does not see the unit again", func() bool {
			_, err := quick.PowerState(ctx, task("bpu-1", 1, 0))
			return err == nil
		})
		if err := set(baremetal.TargetOn); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSilentUnitIsOffline(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		r.units["bpu-1"].SetFaults(unit.Faults{Mute: true}) // its connection stands, "online" is retained
		late := r.newFleet(Config{Silence: 300 * time.Millisecond})
		if _, err := late.Slot(bustest.Context(t), "bpu-1", 1); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the silent unit counts as online", func() bool {
			_, err := late.Slot(t.Context(), "bpu-1", 1)
			return err != nil && strings.Contains(err.Error(), "unit bpu-1 is offline since")
		})
	})
}
