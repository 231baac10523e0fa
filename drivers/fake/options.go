package fake

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Keys of driver_info that change what a fake machine does. The delays are
// named like the options of Ironic's [fake] section.
const (
	// FailKey lists what fails, separated by commas.
	FailKey = "fake_fail"
	// WaitKey lists what waits for an agent: deploy, clean, service, inspect, rescue.
	WaitKey = "fake_wait"
	// HealthKey is what health shows: OK, Warning or Critical.
	HealthKey = "fake_health"
	// PowerKey is the power state that the machine shows whatever it is told.
	PowerKey = "fake_power_state"
	// InventoryKey is the inventory that an inspection finds.
	InventoryKey = "fake_inventory"
)

// delayed are the interfaces whose work can take time, by fake_<name>_delay.
func delayed() []string {
	return []string{"bios", "boot", "deploy", "firmware", "inspect", "management", "power", "raid", "rescue", "storage", "vendor"}
}

func properties() map[string]string {
	p := map[string]string{
		FailKey:      "comma list of what fails: verify, adopt, power_state, power, deploy, clean, service, inspect, rescue, unrescue, rescue_abort, teardown, console, boot_mode, secure_boot, vmedia, validate.INTERFACE or INTERFACE.STEP. Optional.",
		WaitKey:      "comma list of what waits for an agent's report: deploy, clean, service, inspect, rescue. Optional.",
		HealthKey:    "what health shows: OK, Warning or Critical. Optional.",
		PowerKey:     "power state that is read back whatever was asked for. Optional.",
		InventoryKey: "inventory that an inspection finds, an object. Optional.",
	}
	for _, name := range delayed() {
		p["fake_"+name+"_delay"] = "seconds that work of the " + name + " interface takes; LOW,HIGH is a random time, most often near LOW. Optional."
	}
	return p
}

// plain tells cheaply that a node has none of the keys.
func plain(n *baremetal.Node) bool { return !strings.Contains(string(n.DriverInfo), `"fake_`) }

func has(n *baremetal.Node, key, word string) bool {
	if plain(n) {
		return false
	}
	return slices.ContainsFunc(strings.Split(n.DriverInfo.Str(key), ","), func(s string) bool { return strings.TrimSpace(s) == word })
}

// failing is the error asked for by name in FailKey.
func failing(n *baremetal.Node, what string) error {
	if has(n, FailKey, what) {
		return baremetal.Errorf(baremetal.Invalid, "%s fails, as driver_info.%s asks for", what, FailKey)
	}
	return nil
}

func waits(n *baremetal.Node, what string) bool { return has(n, WaitKey, what) }

const longestDelay = 24 * time.Hour

// delay is how long work of an interface takes: "5", or "60,360" for a
// triangular distribution between the two with its peak at the first.
func delay(n *baremetal.Node, iface string) time.Duration {
	if plain(n) {
		return 0
	}
	low, high, _ := strings.Cut(n.DriverInfo.Str("fake_"+iface+"_delay"), ",")
	from, err := strconv.ParseFloat(strings.TrimSpace(low), 64)
	if err != nil || from < 0 || math.IsNaN(from) {
		return 0
	}
	if to, err := strconv.ParseFloat(strings.TrimSpace(high), 64); err == nil && to > from {
		from += (to - from) * (1 - math.Sqrt(1-rand.Float64()))
	}
	if from > longestDelay.Seconds() {
		return longestDelay
	}
	return time.Duration(from * float64(time.Second))
}

// pause blocks for the delay of an interface.
func pause(ctx context.Context, n *baremetal.Node, iface string) error {
	d := delay(n, iface)
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilKey is the journal's note of when a delay began and how long it is.
const untilKey = "fake_until"

// work is one piece of work: it takes the interface's delay, waits for the agent
// if the node says so, and fails on request.
func work(ctx context.Context, t *drivers.Task, iface, what string) (drivers.Result, error) {
	if plain(&t.Node) {
		return drivers.Done(), nil
	}
	if left, err := remaining(ctx, t, delay(&t.Node, iface)); err != nil || left > 0 {
		return drivers.WaitFor(drivers.Wait{Reason: "the fake " + iface + " interface takes its time", Within: left + time.Minute, Poll: left}), err
	}
	if waits(&t.Node, what) {
		switch {
		case t.Journal.Get(drivers.AgentStatusKey) == "error":
			return drivers.Result{}, baremetal.Errorf(baremetal.Invalid, "the agent reported an error: %s", t.Journal.Get(drivers.AgentMessageKey))
		case t.Journal.Get(drivers.AgentStatusKey) == "start", t.Journal.Get(drivers.HeartbeatKey) == "" && t.Journal.Get(drivers.FindingsKey) == "":
			return drivers.WaitFor(drivers.Wait{Reason: "the agent's report", Callback: true,
				Hint: "look the node up and send a heartbeat, as an agent does (driver_info." + WaitKey + " asks for it)"}), nil
		}
	}
	return drivers.Done(), failing(&t.Node, what)
}

// remaining is what is left of a delay that began when the step first ran.
func remaining(ctx context.Context, t *drivers.Task, d time.Duration) (time.Duration, error) {
	if d == 0 {
		return 0, nil
	}
	until, err := time.Parse(time.RFC3339Nano, t.Journal.Get(untilKey))
	if err != nil {
		until = time.Now().Add(d)
		if err := t.Journal.Put(ctx, untilKey, until.UTC().Format(time.RFC3339Nano)); err != nil {
			return 0, err
		}
	}
	// A clock that jumped must not make the wait longer than the delay can be.
	return min(max(time.Until(until), 0), longestDelay), nil
}
