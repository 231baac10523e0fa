package switches_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/drivers/switches"
)

// watched is a Memory that says when it has changed.
type watched struct {
	*switches.Memory
	changed chan struct{}
}

func (w watched) Watch(ctx context.Context, changed func()) error {
	for {
		select {
		case <-w.changed:
			changed()
		case <-ctx.Done():
			return nil
		}
	}
}

// drifting runs the watch over one switch of which c1 shall be in VLAN 10
// until another is written down.
func drifting(t *testing.T, reportOnly bool, backend func(*switches.Memory) switches.Backend) (*switches.Memory, *switches.Drift, *switches.Switch, *atomic.Int64) {
	t.Helper()
	about := description()
	about.Capabilities.ForgetsAtPowerOff = true
	m := switches.NewMemory(about, fixed())
	m.Kept = []string{"up", "mgmt"}
	c := config()
	c.ReportOnly = reportOnly
	s := newSwitch(t, c, backend(m))
	fleet, err := switches.NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	written := &atomic.Int64{} // the VLAN of c1
	written.Store(10)
	d := &switches.Drift{Fleet: fleet, Log: slog.New(slog.DiscardHandler), Intent: func(_ context.Context, id string) (switches.Wanted, error) {
		if id != config().ID {
			return switches.Wanted{}, errors.New("another switch")
		}
		w := switches.Only("c1", switches.Access(int(written.Load())))
		w.RestIdle = true
		return w, nil
	}}
	if _, err := s.Settle(t.Context(), func(ctx context.Context) (switches.Wanted, error) { return d.Intent(ctx, config().ID) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return m, d, s, written
}

func plain(m *switches.Memory) switches.Backend { return m }

func state(d *switches.Drift) switches.DriftState {
	s := d.States()[config().ID]
	s.Checked, s.Since = time.Time{}, time.Time{}
	return s
}

func native(t *testing.T, m *switches.Memory, port string) int {
	t.Helper()
	s, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Ports[port].Native
}

func expect(t *testing.T, d *switches.Drift, want switches.DriftState) {
	t.Helper()
	want.Switch = "rack1"
	if diff := cmp.Diff(want, state(d), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "boot" }, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d, _, _ := drifting(t, false, plain)
		expect(t, d, switches.DriftState{})
		m.Set("c1", switches.PortState{Native: 11})
		time.Sleep(70 * time.Second)
		expect(t, d, switches.DriftState{Found: 1, Repaired: 1})
		if got := native(t, m, "c1"); got != 10 {
			t.Errorf("c1 is in VLAN %d", got)
		}
	})
}

func TestDriftIsReportedOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d, _, _ := drifting(t, true, plain)
		m.Set("c1", switches.PortState{Native: 11})
		time.Sleep(10 * time.Minute)
		expect(t, d, switches.DriftState{Found: 1, Ports: 1, Differences: []string{"switch rack1, port c1: leaves VLAN 11 untagged, joins VLAN 10 untagged"}})
		if got := native(t, m, "c1"); got != 11 {
			t.Errorf("c1 is in VLAN %d", got)
		}
		m.Set("c1", switches.PortState{Native: 10}) // by hand again
		time.Sleep(2 * time.Minute)
		expect(t, d, switches.DriftState{Found: 1})
	})
}

func TestRestartIsRepairedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		changed := make(chan struct{})
		m, d, _, _ := drifting(t, false, func(m *switches.Memory) switches.Backend { return watched{m, changed} })
		m.Restart()
		changed <- struct{}{}
		time.Sleep(time.Second)
		expect(t, d, switches.DriftState{Found: 1, Repaired: 1, Restarts: 1})
		if got := native(t, m, "c1"); got != 10 {
			t.Errorf("c1 is in VLAN %d", got)
		}
	})
}

// What a killed controller has left half done is finished, also where drift is
// only reported.
func TestCutShortIsFinished(t *testing.T) {
	t.Parallel()
	for _, reportOnly := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m, d, s, _ := drifting(t, reportOnly, plain)
			m.Fault = func(call string) (f switches.Fault) {
				if call == "do" {
					f.Unfinished = true
				}
				return f
			}
			if _, err := s.Apply(t.Context(), switches.Only("c2", switches.Access(12))); err == nil {
				t.Error("Apply is content with a switch that is half done")
			}
			m.Fault = nil
			plan, err := s.Plan(t.Context(), switches.Only("c2", switches.Access(12)))
			if words := strings.Join(plan.Words(), "\n"); err != nil || !strings.Contains(words, "a change was cut short") {
				t.Errorf("the plan says %q, %v", words, err)
			}
			time.Sleep(70 * time.Second)
			if st, err := s.Read(t.Context()); err != nil || st.Unfinished {
				t.Errorf("report only %v: it is still half done: %v", reportOnly, err)
			}
			if got := native(t, m, "c2"); reportOnly && got != 12 {
				t.Errorf("c2 is in VLAN %d: what is only reported was changed", got)
			}
			if got := state(d).Differences; len(got) > 0 != reportOnly {
				t.Errorf("report only %v: differences %v", reportOnly, got)
			}
		})
	}
}

// A move that is written down and not done yet is no drift.
func TestMoveIsNoDrift(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		changed := make(chan struct{})
		m, d, s, written := drifting(t, false, func(m *switches.Memory) switches.Backend { return watched{m, changed} })
		written.Store(12)
		changed <- struct{}{}
		time.Sleep(time.Second)
		if _, err := s.Apply(t.Context(), switches.Only("c1", switches.Access(12))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect(t, d, switches.DriftState{})
		if got := native(t, m, "c1"); got != 12 {
			t.Errorf("c1 is in VLAN %d", got)
		}
	})
}

func TestSwitchThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out atomic.Bool
		_, d, _, _ := drifting(t, false, func(m *switches.Memory) switches.Backend {
			m.Fault = func(string) (f switches.Fault) {
				if out.Load() {
					f.Err = errors.New("the cable is out")
				}
				return f
			}
			return m
		})
		out.Store(true)
		time.Sleep(61 * time.Second)
		if s := state(d); s.Unreachable != 1 || !strings.Contains(s.Error, "the cable is out") {
			t.Errorf("got %+v", s)
		}
		out.Store(false)
		time.Sleep(time.Minute)
		expect(t, d, switches.DriftState{Unreachable: 1})
	})
}
