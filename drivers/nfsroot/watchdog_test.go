package nfsroot_test

import (
	"cmp"
	"context"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// place is a boot service of which only the boots are asked.
type place struct {
	nfsroot.BootService
	status   pxe.BootStatus
	expected int
}

func (p *place) BootStatus(context.Context, string) (pxe.BootStatus, error) { return p.status, nil }
func (p *place) ExpectBoot(context.Context, string) error                   { p.expected++; return nil }

// journal is one in memory.
type journal map[string]string

func (j journal) Get(key string) string { return j[key] }
func (j journal) Put(_ context.Context, key, value string) error {
	j[key] = value
	return nil
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	stalled := bootlog.Report{Stalled: true, Stage: bootlog.StageFile, Where: "stalled in kernel8.img at 3.1 MB of 24 MB", Cause: "the network is bad"}
	up := bootlog.Report{Stage: bootlog.StageLogin, Where: "system is up, 3 s after power-on"}
	going := bootlog.Report{Where: "fetching kernel8.img", Due: time.Now().Add(time.Hour)}
	for name, tc := range map[string]struct {
		dog    nfsroot.Watchdog
		signs  []pxe.Sign
		report bootlog.Report
		cycles string
		// want: done, wait, cycle, or the error's text
		want string
		// hint is of a wait; "" = that a file is fetched
		hint string
	}{
		"mounted":                  {nfsroot.Watchdog{}, []pxe.Sign{pxe.SignMounted}, stalled, "", "done", ""},
		"a later sign counts":      {nfsroot.Watchdog{}, []pxe.Sign{pxe.SignHome}, going, "", "done", ""},
		"mounted is not enough":    {nfsroot.Watchdog{Mark: pxe.SignHome}, []pxe.Sign{pxe.SignMounted, pxe.SignLogin}, going, "", "wait", ""},
		"phoned home":              {nfsroot.Watchdog{Mark: pxe.SignHome}, []pxe.Sign{pxe.SignMounted, pxe.SignHome}, going, "", "done", ""},
		"login":                    {nfsroot.Watchdog{Mark: pxe.SignLogin}, []pxe.Sign{pxe.SignMounted, pxe.SignLogin}, going, "", "done", ""},
		"up, but silent":           {nfsroot.Watchdog{Mark: pxe.SignLogin}, []pxe.Sign{pxe.SignMounted, pxe.SignHome}, up, "", "wait", "no prompt was seen on its serial console"},
		"up, but not home":         {nfsroot.Watchdog{Mark: pxe.SignHome}, []pxe.Sign{pxe.SignMounted, pxe.SignLogin}, up, "", "wait", "has not phoned home: the image may lack cloud-init"},
		"under way":                {nfsroot.Watchdog{}, nil, going, "", "wait", ""},
		"first stall":              {nfsroot.Watchdog{}, nil, stalled, "", "cycle", ""},
		"last try":                 {nfsroot.Watchdog{}, nil, stalled, "1", "cycle", ""},
		"tries are used up":        {nfsroot.Watchdog{}, nil, stalled, "2", "stalled in kernel8.img at 3.1 MB of 24 MB: the network is bad; 2 power-cycles did not help", ""},
		"more tries":               {nfsroot.Watchdog{Tries: 3}, nil, stalled, "2", "cycle", ""},
		"never cycled":             {nfsroot.Watchdog{Tries: -1}, nil, stalled, "", "stalled in kernel8.img at 3.1 MB of 24 MB: the network is bad", ""},
		"hangs after its root was": {nfsroot.Watchdog{Mark: pxe.SignLogin}, []pxe.Sign{pxe.SignMounted}, stalled, "", "cycle", ""},
	} {
		p := &place{status: pxe.BootStatus{Signs: tc.signs, Report: tc.report}}
		task := &drivers.Task{Node: baremetal.Node{UUID: baremetal.NewUUID()}, Journal: journal{drivers.CyclesKey: tc.cycles}}
		result, err := tc.dog.Await(t.Context(), p, task)
		got := "done"
		switch {
		case err != nil:
			got = err.Error()
		case result.Wait != nil && result.Wait.Cycle != "":
			got = "cycle"
			if result.Wait.Cycle != tc.report.String() || !result.Wait.Callback {
				t.Errorf("%s: %+v", name, result.Wait)
			}
		case result.Wait != nil:
			got = "wait"
			if !strings.Contains(result.Wait.Hint, cmp.Or(tc.hint, "fetching kernel8.img")) || result.Wait.Poll <= 0 || result.Wait.Within <= 0 {
				t.Errorf("%s: %+v", name, result.Wait)
			}
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		if (p.expected == 1) != (got == "cycle") {
			t.Errorf("%s: the boot before was forgotten %d times", name, p.expected)
		}
	}
}

// Whoever is not who it should be is not waited for, nor power-cycled.
func TestAwaitConflict(t *testing.T) {
	t.Parallel()
	p := &place{status: pxe.BootStatus{Conflict: "two Pis ask with the MAC dc:a6:32:00:00:01"}}
	task := &drivers.Task{Node: baremetal.Node{UUID: baremetal.NewUUID()}, Journal: journal{}}
	_, err := nfsroot.Watchdog{}.Await(t.Context(), p, task)
	if !baremetal.IsKind(err, baremetal.Conflict) || err.Error() != "its machine is not who, or not where, it should be: two Pis ask with the MAC dc:a6:32:00:00:01" || p.expected != 0 {
		t.Errorf("%v, the boot before was forgotten %d times", err, p.expected)
	}
}
