package backplane

import (
	"bufio"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/sim/unit"
)

func TestCommandIsSentAgainAfterReconnect(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		wire := bustest.Listen(t, r.url, bustest.ControllerUser, bus.Root+"/bpu/bpu-1/slot/1/cmd")
		r.units["bpu-1"].SetFaults(unit.Faults{AckDelay: 300 * time.Millisecond})
		answer := make(chan error, 1)
		go func() {
			a, err := r.fleet.Command(ctx, "bpu-1", 1, bus.SlotCommand{ID: "a1", Op: bus.OpOn, Epoch: 1})
			if err == nil && !a.OK {
				t.Errorf("answer %+v", a)
			}
			answer <- err
		}()
		first := wire.Next(t)
		r.fleet.client.Break()
		second := wire.Next(t)
		for _, m := range []bus.Message{first, second} {
			c, err := bus.DecodeSlotCommand(m.Payload)
			if err != nil || c.ID != "a1" || c.Boot != 1 || m.Retained {
				t.Fatalf("on the wire: %s, %v", m.Payload, err)
			}
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		if s := r.units["bpu-1"].State(1); s.Last != "a1" || s.Want != bus.PowerOn {
			t.Fatalf("%+v", s)
		}
	})
}

func TestCommandsExpire(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		wire := bustest.Listen(t, r.url, bustest.ControllerUser, bus.Root+"/bpu/bpu-1/slot/1/cmd")
		// A controller that starts later than the units must learn their uptime.
		late := r.newFleet(Config{})
		if _, err := late.Command(bustest.Context(t), "bpu-1", 1, bus.SlotCommand{Op: bus.OpOn, Epoch: 1}); err != nil {
			t.Fatal(err)
		}
		c, err := bus.DecodeSlotCommand(wire.Next(t).Payload)
		if err != nil || c.Exp == 0 || c.Exp > 60 {
			t.Fatalf("%+v, %v", c, err)
		}
	})
}

func TestForgedAck(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		// Unit 2 hears of a command to unit 1 and answers it; its own topics are all it may use.
		r.units["bpu-1"].SetFaults(unit.Faults{Mute: true})
		thief := bustest.Listen(t, r.url, "bpu-2")
		wire := bustest.Listen(t, r.url, bustest.ControllerUser, bus.Root+"/bpu/bpu-1/slot/1/cmd")
		answer := make(chan error, 1)
		go func() {
			_, err := r.fleet.Command(t.Context(), "bpu-1", 1, bus.SlotCommand{ID: "a1", Op: bus.OpOn, Epoch: 1})
			answer <- err
		}()
		wire.Next(t)
		forged := `{"id":"a1","ok":true,"code":"done"}`
		for _, topic := range []string{"bpu-2/slot/1/ack", "bpu-2/ack"} {
			thief.Send(t, bus.Root+"/bpu/"+topic, forged, false)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_ = thief.Publish(ctx, bus.Message{Topic: bus.Root + "/bpu/bpu-1/slot/1/ack", Payload: []byte(forged), QoS: 1})
		cancel()
		err := <-answer
		wantError(t, err, "no answer within", "although the unit is online")
		if n := r.fleet.Stats().UnmatchedAcks; n != 2 {
			t.Errorf("%d unmatched acks, want 2", n)
		}
	})
}

func TestMalformedMessagesChangeNothing(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		before, err := r.fleet.Slot(ctx, "bpu-1", 1)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open("../../bus/testdata/messages.txt")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		bad := bustest.Listen(t, r.url, "bpu-1")
		sent, lines := 0, bufio.NewScanner(f)
		for lines.Scan() {
			m := strings.Split(lines.Text(), "\t")
			if len(m) != 7 || m[1] != "out" || m[4] == "1" || !strings.HasPrefix(m[5], bus.Root+"/bpu/bpu-1/") || m[0] == "ack-retained" {
				continue
			}
			bad.Send(t, m[5], strings.NewReplacer(`\xff`, "\xff", `\xfe`, "\xfe").Replace(m[6]), false)
			sent++
		}
		if sent < 30 {
			t.Fatalf("only %d examples", sent)
		}
		waitFor(t, "malformed messages are not counted", func() bool { return r.fleet.Stats().Malformed >= int64(sent) })
		// A megabyte may cost its sender the connection, nobody else.
		big, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_ = bad.Publish(big, bus.Message{Topic: bus.Root + "/bpu/bpu-1/slot/1/state", Payload: make([]byte, 1<<20), QoS: 1})
		cancel()
		after, err := r.fleet.Slot(ctx, "bpu-1", 1)
		if err != nil || after.State != before.State {
			t.Fatalf("%+v, %v", after, err)
		}
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 1), "power on", 0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReadyOutlivesOneOfTwoControllers(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		ctx := bustest.Context(t)
		other := r.newFleet(Config{})
		for _, f := range []*Fleet{r.fleet, other} {
			if err := f.SetReady(ctx, true); err != nil {
				t.Fatal(err)
			}
		}
		ear := bustest.Listen(t, r.url, bustest.ControllerUser, bus.ControllerStatusTopic)
		other.Close()
		for heardOffline := false; ; {
			m := ear.Next(t)
			if string(m.Payload) == "offline" {
				heardOffline = true
			} else if heardOffline {
				return // ready again
			}
		}
	})
}

func TestLateController(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, r *rig) {
		u := r.units["bpu-2"]
		u.Unplug()
		late := r.newFleet(Config{Settle: 200 * time.Millisecond})
		if _, err := late.Slot(bustest.Context(t), "bpu-1", 1); err != nil {
			t.Fatal(err)
		}
		// The broker may keep the unit's "online" a moment longer than it lives.
		waitFor(t, "the unit that went away still counts as online", func() bool {
			_, err := late.Slot(bustest.Context(t), "bpu-2", 1)
			return err != nil
		})
		_, err := late.Slot(bustest.Context(t), "bpu-2", 1)
		wantError(t, err, "unit bpu-2 is offline", "Wi-Fi")
	})
}
