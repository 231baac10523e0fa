package backplane

import (
	"encoding/json"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/drivers"
)

var (
	_ drivers.Power      = Power{}
	_ drivers.SoftPower  = Power{}
	_ drivers.Keyed      = Power{}
	_ drivers.Management = Management{}
	_ drivers.Indicators = Management{}
	_ drivers.Vendor     = Vendor{}
)

func TestManagement(t *testing.T) {
	t.Parallel()
	r := newRig(t, bustest.Embedded(t, "bpu-1", "bpu-2"))
	m, tk, ctx := Management{r.power.Driver}, task("bpu-1", 1, 1), bustest.Context(t)
	if err := m.SetBootDevice(ctx, tk, drivers.BootDevice{Device: "pxe"}); err != nil {
		t.Error(err)
	}
	err := m.SetBootDevice(ctx, tk, drivers.BootDevice{Device: "disk"})
	wantError(t, err, "Invalid boot device disk")
	if !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("kind %v", baremetal.KindOf(err))
	}
	for _, state := range []string{"on", "blinking", "off"} {
		if err := m.SetIndicatorState(ctx, tk, "chassis", "led", state); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the light does not show "+state, func() bool {
			got, err := m.IndicatorState(ctx, tk, "chassis", "led")
			return err == nil && got == state
		})
	}
	wantError(t, m.SetIndicatorState(ctx, tk, "chassis", "led", "disco"), "on, off or blinking")
	wantError(t, m.SetIndicatorState(ctx, tk, "system", "led", "on"), "led@system")
	wantError(t, m.SetIndicatorState(ctx, task("bpu-1", 2, 1), "chassis", "led", "on"), "empty")
	all, err := m.Indicators(ctx, tk)
	if err != nil || len(all) != 1 || all[0].Component != "chassis" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestVendor(t *testing.T) {
	t.Parallel()
	r := newRig(t, bustest.Embedded(t, "bpu-1", "bpu-2"))
	v, tk, ctx := Vendor{r.power.Driver}, task("bpu-1", 1, 1), bustest.Context(t)
	if _, err := v.VendorCall(ctx, tk, "identify", "POST", map[string]any{"seconds": 5.0}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the light does not blink", func() bool { return r.units["bpu-1"].State(1).LED == bus.LEDBlink })
	for _, bad := range []any{0.0, 601.0, 1.5, "5", true, json.Number("1e9")} {
		_, err := v.VendorCall(ctx, tk, "identify", "POST", map[string]any{"seconds": bad})
		wantError(t, err, "whole number from 1 to 600")
	}
	_, err := v.VendorCall(ctx, tk, "reset", "POST", nil)
	wantError(t, err, "slot 1 of unit bpu-1 is off", "nothing to reset")
	if err := r.power.SetPower(ctx, tk, baremetal.TargetOn, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := v.VendorCall(ctx, tk, "reset", "POST", nil); err != nil {
		t.Fatal(err)
	}
	got, err := v.VendorCall(ctx, tk, "telemetry", "GET", nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := got.(telemetry); m.Unit.ID != "bpu-1" || m.State.Power != bus.PowerOn {
		t.Errorf("%+v", m)
	}
	if _, err := v.VendorCall(ctx, tk, "explode", "POST", nil); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("error %v", err)
	}
	for name := range v.VendorMethods(tk) {
		if name == "identify" || name == "reset" || name == "telemetry" {
			continue
		}
		t.Errorf("method %q is not tested", name)
	}
}
