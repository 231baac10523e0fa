package nfsroot_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
)

// ward is a boot service and a slot's power, with all that may break off.
type ward struct {
	nfsroot.BootService
	breakAt int // the call that breaks off, before or after it was done; 0 = none
	after   bool
	n       int

	power      baremetal.PowerTarget
	switched   []baremetal.PowerTarget
	generation map[string]bool // of rescue roots that were asked for
	rescue     bool            // there is a rescue root
	served     string          // what is published
	expected   bool            // a boot is expected, and not begun yet
	image      error
}

var errBroken = errors.New("broken off")

// do does one call.
func (w *ward) do(f func()) error {
	w.n++
	if w.n == w.breakAt && !w.after {
		return errBroken
	}
	f()
	if w.n == w.breakAt {
		return errBroken
	}
	return nil
}

func (w *ward) Validate(context.Context, *drivers.Task) error     { return nil }
func (w *ward) CheckImage(context.Context, pxe.ImageSource) error { return w.image }
func (w *ward) PowerState(context.Context, *drivers.Task) (baremetal.PowerState, error) {
	return w.power.Outcome(), nil
}

func (w *ward) SetPower(_ context.Context, _ *drivers.Task, to baremetal.PowerTarget, _ time.Duration) error {
	return w.do(func() {
		if w.power != to {
			w.switched = append(w.switched, to)
		}
		if w.power = to; to == baremetal.TargetOn {
			w.expected = false
		}
	})
}

func (w *ward) FetchImage(context.Context, pxe.ImageSource) (pxe.Fetched, error) {
	return pxe.Fetched{Ready: true}, w.do(func() {})
}

func (w *ward) ReserveAddress(context.Context, pxe.Machine) (pxe.AddressAnswer, error) {
	return pxe.AddressAnswer{Address: netip.MustParseAddr("10.0.0.5")}, nil
}

func (w *ward) CreateRoot(_ context.Context, r pxe.RootRequest) error {
	if r.Rescue == nil || r.Rescue.PasswordHash != "$6$hash" || r.Hostname != "blade-rescue" {
		return fmt.Errorf("asked for %+v", r)
	}
	return w.do(func() {
		if !w.generation[r.Generation] {
			w.served = "" // as another root is made ready
		}
		w.generation[r.Generation], w.rescue = true, true
	})
}

func (w *ward) Publish(context.Context, pxe.PublishRequest) error {
	return w.do(func() {
		if w.served = "own"; w.rescue {
			w.served = "rescue"
		}
	})
}

func (w *ward) RemoveRescue(context.Context, string) error {
	return w.do(func() {
		if w.rescue {
			w.rescue, w.served = false, ""
		}
	})
}

func (w *ward) ExpectBoot(context.Context, string) error { return w.do(func() { w.expected = true }) }
func (w *ward) BootStatus(context.Context, string) (pxe.BootStatus, error) {
	if w.power != baremetal.TargetOn || w.expected {
		return pxe.BootStatus{}, errors.New("a machine is waited for that was not switched on")
	}
	return pxe.BootStatus{Signs: []pxe.Sign{pxe.SignMounted}}, nil
}

// wardJournal is a journal whose writes are calls of the ward.
type wardJournal struct {
	journal
	w *ward
}

func (j wardJournal) Put(ctx context.Context, key, value string) error {
	return j.w.do(func() { _ = j.journal.Put(ctx, key, value) })
}

func newRescue(w *ward) (*nfsroot.Rescue, *drivers.Task) {
	w.generation, w.power, w.served = map[string]bool{}, baremetal.TargetOn, "own"
	r := &nfsroot.Rescue{Driver: &nfsroot.Driver{Boot: w, DefaultImage: pxe.ImageSource{URL: "builtin:demo"}}, Power: w}
	task := &drivers.Task{Node: baremetal.Node{UUID: baremetal.NewUUID(), Name: "blade", ProvisionState: baremetal.Active,
		InstanceInfo: baremetal.MustObject(map[string]any{drivers.RescueHashKey: "$6$hash"})},
		Ports: []baremetal.Port{{Address: "dc:a6:32:00:00:01", PXEEnabled: true}}}
	return r, task
}

// A rescue and its end that break off anywhere are done again to the same end,
// and switch the machine off and on once each.
func TestRescueBreaksOffAnywhere(t *testing.T) {
	t.Parallel()
	for at := range 60 {
		for _, after := range []bool{false, true} {
			w := &ward{}
			r, task := newRescue(w)
			w.breakAt, w.after = at, after
			run := func(what string, work func(context.Context, *drivers.Task) (drivers.Result, error)) {
				t.Helper()
				task.Journal = wardJournal{journal{}, w}
				w.switched, w.expected = nil, false
				for range 3 {
					result, err := work(t.Context(), task)
					if err == nil && result.Wait == nil {
						break
					}
					if !errors.Is(err, errBroken) {
						t.Fatalf("%s, broken off at %d: %+v, %v", what, at, result.Wait, err)
					}
				}
				if !slices.Equal(w.switched, []baremetal.PowerTarget{baremetal.TargetOff, baremetal.TargetOn}) || w.served != what {
					t.Errorf("%s, broken off at %d: switched %q, %q is served", what, at, w.switched, w.served)
				}
			}
			run("rescue", r.Rescue)
			if len(w.generation) != 1 {
				t.Errorf("broken off at %d: %d rescue roots were made", at, len(w.generation))
			}
			run("own", r.Unrescue)
			if at > 0 && w.n < at {
				return // it had less calls than that
			}
		}
	}
	t.Error("not all calls were broken off")
}

func TestRescueAbort(t *testing.T) {
	t.Parallel()
	w := &ward{rescue: true}
	r, task := newRescue(w)
	task.Journal = journal{}
	if err := r.AbortRescue(t.Context(), task); err != nil || w.rescue || w.power != baremetal.TargetOff {
		t.Errorf("after an abort: %v, rescue root %v, power %q", err, w.rescue, w.power)
	}
}

func TestRescueValidate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(w *ward, r *nfsroot.Rescue, n *baremetal.Node)
		want   string
	}{
		"good": {func(*ward, *nfsroot.Rescue, *baremetal.Node) {}, ""},
		"no image": {func(_ *ward, r *nfsroot.Rescue, _ *baremetal.Node) { r.Driver.DefaultImage.URL = "" },
			"configure images.rescue_image"},
		"its own image": {func(_ *ward, r *nfsroot.Rescue, _ *baremetal.Node) {
			r.Driver.DefaultImage.URL, r.Image.URL = "", "file:///rescue.tar"
		}, ""},
		"a bad image": {func(w *ward, _ *nfsroot.Rescue, _ *baremetal.Node) { w.image = errors.New("no such file") }, "no such file"},
		"a bad image on the way back": {func(w *ward, _ *nfsroot.Rescue, n *baremetal.Node) {
			w.image, n.ProvisionState = errors.New("no such file"), baremetal.Rescue
		}, ""},
		"power must stay": {func(_ *ward, _ *nfsroot.Rescue, n *baremetal.Node) { n.DisablePowerOff = true }, "disable_power_off"},
		"no Pi": {func(_ *ward, r *nfsroot.Rescue, _ *baremetal.Node) {
			r.Driver.Deployable = func(context.Context, *baremetal.Node) error {
				return baremetal.Errorf(baremetal.Invalid, "holds a switch")
			}
		}, "holds a switch"},
	} {
		w := &ward{}
		r, task := newRescue(w)
		tc.change(w, r, &task.Node)
		err := r.Validate(t.Context(), task)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
