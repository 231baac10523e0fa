package conductor

import (
	"context"
	"strconv"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// A power-cycle within a step: it is decided in one write with its count, so
// that whoever goes on after a crash does it once and counts it once; what the
// power driver must not forget meanwhile stands beside the step's own notes.
const (
	cyclingKey         = "power_cycling" // why, while it is to be done
	cycleJournalPrefix = "power_cycle."
)

// cycling tells whether a power-cycle was decided and not done yet.
func (w *work) cycling() bool { return w.node.Work.Journal.Str(cyclingKey) != "" }

// planCycle writes down that the machine is to be power-cycled; the wait begins anew.
func (w *work) planCycle(ctx context.Context, why string) error {
	cycles, _ := strconv.Atoi(w.node.Work.Journal.Str(drivers.CyclesKey)) // none is 0
	cycles++
	err := w.write(ctx, func(n *baremetal.Node, now time.Time) error {
		if err := resume(n, now); err != nil {
			return err
		}
		clearWait(n)
		n.Work.Journal = n.Work.Journal.With(drivers.CyclesKey, strconv.Itoa(cycles)).With(cyclingKey, why)
		w.c.note(n, baremetal.SeverityError, "boot", "The machine is power-cycled (try "+strconv.Itoa(cycles)+"): "+why, 0)
		return nil
	})
	if err == nil {
		w.log.Warn("power-cycling a machine that does not boot", "try", cycles, "why", why)
		w.c.tellBoot(BootCycled)
	}
	return err
}

// cycle does what planCycle wrote down.
func (w *work) cycle(ctx context.Context, t *drivers.Task) error {
	own := *t
	own.Node, own.Journal = w.node, &journal{w: w, prefix: cycleJournalPrefix}
	if err := w.powerStep(ctx, &own, baremetal.TargetReboot); err != nil {
		return err
	}
	return w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		for _, key := range n.Work.Journal.Keys() {
			if key == cyclingKey || strings.HasPrefix(key, cycleJournalPrefix) {
				n.Work.Journal = n.Work.Journal.Without(key)
			}
		}
		return nil
	})
}

// cycleFailed ends a step whose machine could not be power-cycled.
func (w *work) cycleFailed(ctx context.Context, s stepList, step baremetal.Step, cause error) (outcome, error) {
	if ctx.Err() != nil || baremetal.IsKind(cause, baremetal.ClaimLost) {
		return stepsGoOn, cause
	}
	return w.failStep(ctx, s, &step, cause)
}
