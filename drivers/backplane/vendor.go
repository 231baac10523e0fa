package backplane

import (
	"context"
	"encoding/json"
	"math"
	"net/http"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers"
)

// Vendor offers what a slot can do beyond Ironic's vocabulary.
type Vendor struct{ *Driver }

// Names of the vendor methods.
const (
	methodIdentify  = "identify"
	methodReset     = "reset"
	methodTelemetry = "telemetry"
)

const maxIdentify = 600 // seconds, the contract's limit

// Validate checks driver_info.
func (v Vendor) Validate(_ context.Context, t *drivers.Task) error { return v.validate(t) }

// VendorMethods lists the methods.
func (v Vendor) VendorMethods(*drivers.Task) map[string]drivers.VendorMethod {
	return map[string]drivers.VendorMethod{
		methodIdentify: {
			HTTPMethods: []string{http.MethodPost}, ExclusiveLock: true,
			Description: "Blink the light of the caddy's slot. Argument: seconds (1 to 600, default 30).",
		},
		methodReset: {
			HTTPMethods: []string{http.MethodPost}, ExclusiveLock: true,
			Description: "Restart the caddy's processor by its RUN pin, without touching its power.",
		},
		methodTelemetry: {
			HTTPMethods: []string{http.MethodGet},
			Description: "What the backplane unit measures: the slot's current and voltage, the unit's supply and Wi-Fi.",
		},
	}
}

// telemetry is the answer of the method of that name.
type telemetry struct {
	Slot  slotTelemetry `json:"slot"`
	Unit  unitTelemetry `json:"unit"`
	State bus.State     `json:"state"`
}

type slotTelemetry struct {
	CurrentMA int `json:"current_ma"`
	VoltageMV int `json:"voltage_mv"`
}

type unitTelemetry struct {
	ID        string `json:"id"`
	Firmware  string `json:"firmware"`
	UptimeS   uint32 `json:"uptime_s"`
	RSSI      int    `json:"rssi_dbm"`
	SupplyMV  int    `json:"supply_mv"`
	FreeBytes int    `json:"free_bytes"`
}

// VendorCall runs a method.
func (v Vendor) VendorCall(ctx context.Context, t *drivers.Task, method, _ string, args map[string]any) (any, error) {
	k, err := place(&t.Node)
	if err != nil {
		return nil, err
	}
	switch method {
	case methodIdentify:
		seconds, err := wholeNumber(args, "seconds", 1, maxIdentify)
		if err != nil {
			return nil, err
		}
		return nil, v.lamp(ctx, t, k, bus.SlotCommand{Op: bus.OpIdentify, WaitS: seconds})
	case methodReset:
		return nil, v.lamp(ctx, t, k, bus.SlotCommand{Op: bus.OpReset})
	case methodTelemetry:
		s, err := v.Fleet.Slot(ctx, k.unit, k.slot)
		if err != nil {
			return nil, err
		}
		return telemetry{
			Slot: slotTelemetry{s.Meter.MA, s.Meter.MV}, State: s.State,
			Unit: unitTelemetry{k.unit, s.Info.Firmware, s.Unit.Up, s.Unit.RSSI, s.Unit.BusMV, s.Unit.Heap},
		}, nil
	default:
		return nil, baremetal.Errorf(baremetal.Invalid, "Vendor method %q is unknown: want %s, %s or %s.",
			method, methodIdentify, methodReset, methodTelemetry)
	}
}

// wholeNumber reads an argument as JSON gives it; 0 if it is missing.
func wholeNumber(args map[string]any, key string, low, high int) (int, error) {
	n := math.NaN()
	switch v := args[key].(type) {
	case nil:
		return 0, nil
	case float64:
		n = v
	case int:
		n = float64(v)
	case json.Number:
		if f, err := v.Float64(); err == nil {
			n = f
		}
	}
	if n != math.Trunc(n) || n < float64(low) || n > float64(high) {
		return 0, baremetal.Errorf(baremetal.Invalid, "argument %q is %v: want a whole number from %d to %d", key, args[key], low, high)
	}
	return int(n), nil
}
