package chassis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/sim/unit"
)

func TestLayout(t *testing.T) {
	t.Parallel()
	units, err := Layout(13)
	if err != nil {
		t.Fatal(err)
	}
	var shape []int
	for _, u := range units {
		shape = append(shape, len(u.Slots))
	}
	if len(shape) != 4 || shape[0] != 3 || shape[1] != 3 || shape[2] != 3 || shape[3] != 4 {
		t.Fatalf("slots per unit: %v", shape)
	}
	last := units[3].Slots
	if s := last[2]; s.Name() != "caddy-12" || s.Type != bus.TypeSwitch || s.Unit != "bpu-4" || s.Slot != 3 {
		t.Errorf("caddy 12: %+v", s)
	}
	if s := last[3]; s.Name() != "caddy-13" || s.Type != bus.TypeOdroid || s.MAC().String() != "dc:a6:32:ca:04:04" || s.Address().String() != "127.77.4.4" {
		t.Errorf("caddy 13: %+v", s)
	}
	for caddies, want := range map[int]int{0: 0, 1: 1, 3: 1, 4: 2, 14: 5, MaxCaddies: 64} {
		units, err := Layout(caddies)
		if err != nil || len(units) != want {
			t.Errorf("%d caddies: %d units, %v", caddies, len(units), err)
		}
		macs, filled := map[string]bool{}, 0
		for _, u := range units {
			for _, s := range u.Slots {
				macs[s.MAC().String()] = true
				if s.Type != bus.TypeEmpty {
					filled++
				}
			}
		}
		if filled != caddies {
			t.Errorf("%d caddies: %d placed", caddies, filled)
		}
	}
	if _, err := Layout(MaxCaddies + 1); err == nil {
		t.Error("too many caddies are accepted")
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bustest.Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestChassisComesBackAsItWas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "units")
	for round := range 2 {
		url := bustest.Embedded(t, "bpu-1", "bpu-2", "bpu-3", "bpu-4")
		boss := bustest.Listen(t, url, bustest.ControllerUser, bus.Root+"/bpu/bpu-4/slot/2/state")
		devices := map[string]*unit.Load{}
		c, err := Start(Config{
			Caddies: 13, Broker: url, Password: bustest.Password, StateDir: dir,
			Device: func(s SlotInfo) (unit.Device, error) { devices[s.Name()] = &unit.Load{}; return devices[s.Name()], nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Online(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if len(devices) != 13 {
			t.Fatalf("%d devices", len(devices))
		}
		boss.Send(t, bus.ControllerStatusTopic, "ready", true)
		if round == 0 {
			boss.Send(t, bus.Root+"/bpu/bpu-4/slot/2/cmd", `{"id":"a","op":"on","epoch":1,"boot":1,"exp":100}`, false)
		}
		waitFor(t, "caddy-11 is not switched on", func() bool { return c.Unit("bpu-4").State(2).Power == bus.PowerOn })
		if p := c.Unit("bpu-4").State(1).Power; p != bus.PowerOff {
			t.Fatalf("caddy-10 is %s", p)
		}
		c.Close()
	}
}

func TestStateThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bpu-1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(Config{Caddies: 3, Broker: "tcp://127.0.0.1:1", StateDir: dir})
	if err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Fatalf("error %v", err)
	}
}
