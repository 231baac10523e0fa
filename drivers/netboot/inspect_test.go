package netboot_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/netboot"
	"caddyshack/pxe"
)

// journal keeps what a driver must not forget.
type journal map[string]string

func (j journal) Get(key string) string { return j[key] }
func (j journal) Put(_ context.Context, key, value string) error {
	j[key] = value
	return nil
}

// slot is a slot and its power interface.
type slot struct {
	netboot.Slot
	switched []baremetal.PowerTarget
	broken   error
	onPower  func() // what the Pi does with power
}

func (s *slot) Validate(context.Context, *drivers.Task) error { return nil }
func (s *slot) PowerState(context.Context, *drivers.Task) (baremetal.PowerState, error) {
	return baremetal.PowerUnknown, nil
}
func (s *slot) SetPower(_ context.Context, _ *drivers.Task, to baremetal.PowerTarget, _ time.Duration) error {
	if s.broken != nil {
		return s.broken
	}
	s.switched = append(s.switched, to)
	if on := to == baremetal.TargetOn; on != s.Powered {
		s.Powered = on
		if on && s.onPower != nil {
			s.onPower()
		}
	}
	return nil
}

const self = "11111111-1111-1111-1111-111111111111"

var here = netip.MustParseAddr("10.0.0.9")

// world is what an inspection sees.
type world struct {
	slot
	seen   pxe.Sightings
	others []netboot.Known
	moved  map[string]string
	info   map[string]any
	later  []event
}

// event is what happens while an inspection waits.
type event struct {
	at time.Time
	do func()
}

func (w *world) after(d time.Duration, do func()) {
	w.later = append(w.later, event{time.Now().Add(d), do})
}

func (w *world) see(kind pxe.SightingKind, mac, serial, model string, addr netip.Addr) {
	w.seen.Record(pxe.Sighting{Kind: kind, Time: time.Now(), MAC: mac, Serial: serial, Model: model, Address: addr})
}

// inspect goes on until the end.
func (w *world) inspect(t *testing.T) (baremetal.Node, error) {
	t.Helper()
	if w.Name == "" {
		w.Slot = netboot.Slot{Name: "slot 2 of unit bpu-1", Pi: true, Powered: w.Powered}
	}
	w.moved = map[string]string{}
	i := &netboot.Inspect{
		Power: &w.slot, Slot: func(context.Context, *baremetal.Node) (netboot.Slot, error) { return w.Slot, nil },
		Sightings: func(_ context.Context, since time.Time) ([]pxe.Sighting, error) { return w.seen.List(since), nil },
		Nodes: func(context.Context) ([]netboot.Known, error) {
			return append([]netboot.Known{{UUID: self, Name: "self", Pi: true, Powered: w.Powered, Inspecting: time.Unix(2000, 0)}}, w.others...), nil
		},
		Misplace: func(_ context.Context, uuid, reason string) error {
			w.moved[uuid] = reason
			return nil
		},
	}
	task := &drivers.Task{Node: baremetal.Node{UUID: self, Name: "self", DriverInfo: baremetal.MustObject(w.info)}, Journal: journal{}}
	for range 10_000 {
		r, err := i.Inspect(t.Context(), task)
		if err != nil {
			return task.Node, err
		}
		if r.Wait == nil {
			r.Change(&task.Node)
			return task.Node, nil
		}
		if r.Wait.Cycle != "" {
			cycles, _ := strconv.Atoi(task.Journal.Get(drivers.CyclesKey))
			task.Journal.(journal)[drivers.CyclesKey] = strconv.Itoa(cycles + 1)
			for _, to := range []baremetal.PowerTarget{baremetal.TargetOff, baremetal.TargetOn} {
				if err := w.SetPower(t.Context(), task, to, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		if r.Wait.Reason == "" || r.Wait.Poll <= 0 || r.Wait.Within <= 0 {
			t.Fatalf("a wait without reason or end: %+v", r.Wait)
		}
		time.Sleep(r.Wait.Poll) //nolint:forbidigo // in a bubble
		for i, e := range w.later {
			if e.do != nil && !time.Now().Before(e.at) {
				w.later[i].do = nil
				e.do()
			}
		}
	}
	t.Fatal("it does not end")
	return task.Node, nil
}

func TestInspect(t *testing.T) {
	t.Parallel()
	const mac, serial = "dc:a6:32:00:00:01", "feed0001"
	other := netboot.Known{UUID: "other", Name: "other", Slot: "slot 1 of unit bpu-1", Serial: "10000000beef0001", MACs: []string{"dc:a6:32:00:00:02"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Pi: true}
	on := func(k netboot.Known) netboot.Known {
		k.Powered = true
		return k
	}
	for name, c := range map[string]struct {
		change  func(w *world)
		onPower func(w *world)
		err     string
		moved   string
		serial  string
		took    time.Duration // at most
		cycles  int
		memory  int
	}{
		"DHCP tells all": {
			onPower: func(w *world) { w.see(pxe.SeenBootDHCP, mac, serial, "pi4", here) }, serial: serial, took: 6 * time.Second},
		"TFTP alone, later": {
			onPower: func(w *world) {
				w.after(20*time.Second, func() { w.see(pxe.SeenTFTP, "", serial, "pi4", here) })
			}, serial: serial, took: 30 * time.Second},
		"DHCP and TFTP together": {
			onPower: func(w *world) {
				w.see(pxe.SeenBootDHCP, mac, "", "", here)
				w.after(time.Second, func() { w.see(pxe.SeenTFTP, "", serial, "pi4", here) })
			}, serial: serial, took: 3 * time.Second},
		"DHCP tells the serial number the other way round": {
			onPower: func(w *world) {
				w.seen.Record(pxe.Sighting{Kind: pxe.SeenBootDHCP, Time: time.Now(), MAC: mac, Serial: "0100edfe", AltSerial: serial, Model: "pi4", Address: here, Revision: 0xb03115})
				w.see(pxe.SeenTFTP, "", serial, "pi4", here)
			}, serial: serial, memory: 2048, took: time.Second},
		"the same Pi, by DHCP the other way round": {
			change: func(w *world) { w.info = map[string]any{"serial_number": "10000000feed0001"} },
			onPower: func(w *world) {
				w.seen.Record(pxe.Sighting{Kind: pxe.SeenBootDHCP, Time: time.Now(), MAC: mac, Serial: "0100edfe", AltSerial: serial, Model: "pi4", Address: here})
			}, serial: "10000000feed0001"},
		"a Pi 3B, once it has its boot loader": {
			onPower: func(w *world) {
				w.see(pxe.SeenBootDHCP, mac, "", "pi3", here)
				w.see(pxe.SeenTFTP, mac, "", "", here)
				w.after(12*time.Second, func() { w.see(pxe.SeenTFTP, mac, serial, "", here) })
			}, serial: serial, memory: 1024, took: 14 * time.Second},
		"a Pi 3B that gets none": {
			onPower: func(w *world) {
				w.see(pxe.SeenBootDHCP, mac, "", "pi3", here)
				w.see(pxe.SeenTFTP, mac, "", "", here)
			}, memory: 1024, took: 22 * time.Second},
		"nothing": {err: "BOOT_ORDER may lack network boot (0xf2, or 0xf21), a Pi 3B may not be allowed to boot from the network, or its cable, switch port or DHCP server is not right; 2 power-cycles did not help",
			took: 365 * time.Second, cycles: 2},
		"nothing, until it is power-cycled": {
			onPower: func(w *world) {
				if len(w.switched) > 1 {
					w.see(pxe.SeenBootDHCP, mac, serial, "pi4", here)
				}
			}, serial: serial, took: 126 * time.Second, cycles: 1},
		"no file": {
			onPower: func(w *world) { w.see(pxe.SeenBootDHCP, mac, "", "pi4", here) }, err: "option 66", took: 365 * time.Second, cycles: 2},
		"a system's DHCP is not a Pi's": {
			onPower: func(w *world) { w.see(pxe.SeenDHCP, mac, "", "", here) }, err: "nothing was heard", took: 365 * time.Second, cycles: 2},
		"two strangers": {
			onPower: func(w *world) {
				w.see(pxe.SeenTFTP, "", serial, "", here)
				w.see(pxe.SeenTFTP, "", "feed0002", "", netip.MustParseAddr("10.0.0.10"))
			}, err: "two Pis that no node knows"},
		"what was seen before does not count": {
			change: func(w *world) { w.see(pxe.SeenTFTP, mac, "feed0009", "pi4", here) }, err: "nothing was heard", cycles: 2},
		"another node boots meanwhile": {
			change: func(w *world) { w.others = []netboot.Known{on(other)} },
			onPower: func(w *world) {
				w.see(pxe.SeenTFTP, "dc:a6:32:00:00:02", "beef0001", "pi4", netip.MustParseAddr("10.0.0.2"))
				w.see(pxe.SeenDHCP, "dc:a6:32:00:00:02", "", "", netip.MustParseAddr("10.0.0.2"))
				w.see(pxe.SeenBootDHCP, mac, serial, "pi4", here)
			}, serial: serial},
		"another node asks without its name": {
			change: func(w *world) {
				w.others = []netboot.Known{on(other)}
				w.see(pxe.SeenTFTP, "", "beef0001", "pi4", netip.MustParseAddr("10.0.0.7"))
			},
			onPower: func(w *world) {
				w.see(pxe.SeenTFTP, "", "", "pi4", netip.MustParseAddr("10.0.0.7"))
				w.see(pxe.SeenBootDHCP, mac, serial, "pi4", here)
			}, serial: serial},
		"another's Pi, by its serial": {
			change:  func(w *world) { w.others = []netboot.Known{other} },
			onPower: func(w *world) { w.see(pxe.SeenTFTP, "", "beef0001", "pi4", here) },
			err:     "holds the Pi of node other", moved: "slot 2 of unit bpu-1"},
		"another's Pi, by its MAC": {
			change:  func(w *world) { w.others = []netboot.Known{other} },
			onPower: func(w *world) { w.see(pxe.SeenBootDHCP, "dc:a6:32:00:00:02", "", "pi4", here) },
			err:     "holds the Pi of node other", moved: "slot 2 of unit bpu-1"},
		"an exchanged Pi": {
			change:  func(w *world) { w.info = map[string]any{"serial_number": "10000000feed0077"} },
			onPower: func(w *world) { w.see(pxe.SeenBootDHCP, mac, serial, "pi4", here) }, err: "another Pi"},
		"the same Pi": {
			change:  func(w *world) { w.info = map[string]any{"serial_number": "10000000feed0001"} },
			onPower: func(w *world) { w.see(pxe.SeenBootDHCP, mac, serial, "pi4", here) }, serial: "10000000feed0001"},
		"switched off meanwhile": {
			onPower: func(w *world) { w.after(10*time.Second, func() { w.Powered = false }) }, err: "was switched off while"},
		"a unit that fails": {change: func(w *world) { w.broken = errors.New("fault overload") }, err: "overload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				if c.change != nil {
					c.change(w)
				}
				if c.onPower != nil {
					w.onPower = func() { c.onPower(w) }
				}
				began := time.Now()
				time.Sleep(time.Second) //nolint:forbidigo // so that what was seen before is older
				n, err := w.inspect(t)
				switch {
				case c.err == "" && err != nil:
					t.Fatal(err)
				case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
					t.Fatalf("error %v, want %q", err, c.err)
				}
				if got := n.DriverInfo.Str("serial_number"); c.err == "" && got != c.serial {
					t.Errorf("serial %q, want %q", got, c.serial)
				}
				if got, _ := n.Properties.Int("memory_mb"); c.memory != 0 && got != c.memory {
					t.Errorf("memory_mb %d, want %d", got, c.memory)
				}
				if !strings.Contains(w.moved["other"], c.moved) || c.moved == "" && len(w.moved) > 0 {
					t.Errorf("taken out of service: %v", w.moved)
				}
				if took := time.Since(began) - time.Second; c.took != 0 && took > c.took {
					t.Errorf("it took %s, want at most %s", took, c.took)
				}
				want := slices.Repeat([]baremetal.PowerTarget{baremetal.TargetOn, baremetal.TargetOff}, 1+c.cycles)
				if w.broken == nil && cmp.Diff(want, w.switched) != "" {
					t.Errorf("switched %v, want on and off, with %d power-cycles", w.switched, c.cycles)
				}
			})
		})
	}
}

// TestInspectTakesTurns waits for an inspection that began earlier, and does not
// begin beside a stranger that is on, or with a slot that is on.
func TestInspectTakesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{others: []netboot.Known{{UUID: "first", Name: "first", Pi: true, Inspecting: time.Unix(1000, 0), Powered: true}}}
		w.after(time.Minute, func() { w.others = nil })
		w.onPower = func() { w.see(pxe.SeenBootDHCP, "dc:a6:32:00:00:01", "feed0001", "pi5", here) }
		began := time.Now()
		n, err := w.inspect(t)
		if err != nil || time.Since(began) < time.Minute || n.ResourceClass != "rpi5" {
			t.Errorf("after %s: %v, %+v", time.Since(began), err, n)
		}
		w = &world{others: []netboot.Known{{UUID: "x", Name: "stranger", Pi: true, Powered: true}}}
		if _, err := w.inspect(t); err == nil || !strings.Contains(err.Error(), "stranger") || len(w.switched) > 0 {
			t.Errorf("beside a stranger: %v, switched %v", err, w.switched)
		}
		w = &world{slot: slot{Slot: netboot.Slot{Powered: true}}}
		if _, err := w.inspect(t); !baremetal.IsKind(err, baremetal.Conflict) || len(w.switched) > 0 {
			t.Errorf("a slot that is on: %v, switched %v", err, w.switched)
		}
	})
}
