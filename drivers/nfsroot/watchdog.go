package nfsroot

import (
	"context"
	"strconv"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// Watchdog waits for a machine to boot, and helps one that stands still. It
// serves every step or verb that has just switched a machine on and waits for
// what it boots: deploying, cleaning, inspection, rescue.
type Watchdog struct {
	// Mark is the sign by which a machine has booted; "" = its root is mounted.
	Mark pxe.Sign
	// Within is how long one try may take from power-on to the mark, 0 = 5 min.
	Within time.Duration
	// Tries is how often a machine that stands still is power-cycled before the
	// wait fails; 0 = 2, negative = never.
	Tries int
}

// watchPoll is how often a boot is looked at between its signs.
const watchPoll = 5 * time.Second

// Await tells whether the machine has booted, must still be waited for, or is
// to be power-cycled because it stands still. It is called again and again; the
// tries are counted in the task's journal. Once they are used up it fails with
// what the boot log has to say. A boot of before is forgotten with ExpectBoot
// before the machine is switched on.
func (w Watchdog) Await(ctx context.Context, boot BootService, t *drivers.Task) (drivers.Result, error) {
	s, err := boot.BootStatus(ctx, t.Node.UUID)
	if err != nil {
		return drivers.Result{}, err
	}
	if w.Mark == "" {
		w.Mark = pxe.SignMounted
	}
	if s.Gave(w.Mark) {
		return drivers.Done(), nil
	}
	if s.Conflict != "" {
		return drivers.Result{}, baremetal.Errorf(baremetal.Conflict, "its machine is not who, or not where, it should be: %s", s.Conflict)
	}
	wait := drivers.Wait{Reason: awaited[w.Mark], Hint: s.Report.String(), Within: w.within(), Poll: watchPoll, Callback: true}
	if hint := unmarked[w.Mark]; hint != "" && s.Report.Stage == bootlog.StageLogin {
		wait.Hint = hint
	}
	if !s.Report.Stalled {
		if left := time.Until(s.Report.Due); left > 0 {
			wait.Poll = min(wait.Poll, left+time.Millisecond)
		}
		return drivers.WaitFor(wait), nil
	}
	cycles, _ := strconv.Atoi(t.Journal.Get(drivers.CyclesKey)) // none is 0
	if cycles >= w.tries() {
		return drivers.Result{}, baremetal.Errorf(baremetal.Unavailable, "%s%s", s.Report, drivers.AfterCycles(cycles))
	}
	if err := boot.ExpectBoot(ctx, t.Node.UUID); err != nil {
		return drivers.Result{}, err
	}
	wait.Cycle = s.Report.String()
	return drivers.WaitFor(wait), nil
}

func (w Watchdog) within() time.Duration {
	const usual = 5 * time.Minute
	if w.Within == 0 {
		return usual
	}
	return w.Within
}

func (w Watchdog) tries() int {
	const usual = 2
	if w.Tries == 0 {
		return usual
	}
	return w.Tries
}

// awaited says what a mark's absence means. The texts do not change while a
// machine boots: each change is a write.
var awaited = map[pxe.Sign]string{
	pxe.SignMounted: "the machine has not mounted its root yet",
	pxe.SignLogin:   "the machine has not asked for a login on its serial console yet",
	pxe.SignHome:    "the machine's system has not told that it is up yet",
}

// unmarked says what keeps the mark of a system away that is up by another
// sign. A power-cycle would not help.
var unmarked = map[pxe.Sign]string{
	pxe.SignLogin: "Its system is up, as it has phoned home, but no prompt was seen on its serial console: " +
		"driver_info.console_port may be another slot's line, or cmdline.txt of the image may lack console=serial0,115200",
	pxe.SignHome: "Its system asks for a login on its serial console, but has not phoned home: " +
		"the image may lack cloud-init (or whatever else asks for the URL in /etc/caddyshack-phone-home), or a firewall drops it",
}
