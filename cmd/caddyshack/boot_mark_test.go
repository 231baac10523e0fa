//go:build faults

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// promptSite waits for a login prompt on a console that is enabled.
func promptSite(t *testing.T, within time.Duration, change func(*Config)) *site {
	t.Helper()
	s := newSite(t, func(c *Config) {
		c.Deploy.BootMark, c.Deploy.BootTimeout = string(pxe.SignLogin), Duration{within}
		if change != nil {
			change(c)
		}
	})
	s.console(t, true)
	return s
}

func (s *site) console(t *testing.T, on bool) {
	t.Helper()
	if err := s.conductor.SetConsole(t.Context(), tester, s.node, on); err != nil {
		t.Fatal(err)
	}
	s.await(t, "changing its console", func(n *baremetal.Node) bool { return n.ConsoleEnabled == on && n.Work.Reservation == "" })
}

// port changes which serial line is taken for the node's.
func (s *site) port(t *testing.T, line string) {
	t.Helper()
	s.console(t, false)
	_, err := s.conductor.UpdateNode(t.Context(), tester, s.node, func(n *baremetal.Node) error {
		n.DriverInfo = n.DriverInfo.With("console_port", line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.console(t, true)
}

// The prompt on the serial console ends the deploy, and nothing else does.
func TestBootMarkLoginPrompt(t *testing.T) {
	t.Parallel()
	s := promptSite(t, 5*time.Minute, nil)
	s.console(t, false)
	s.verb(t, baremetal.VerbManage)
	s.awaitState(t, baremetal.Manageable)
	s.verb(t, baremetal.VerbProvide)
	s.awaitState(t, baremetal.Available)
	err := s.conductor.SetProvision(t.Context(), tester, s.node, conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 115})
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "console enable") {
		t.Fatalf("a deploy whose prompt nobody would see: %v", err)
	}
	s.console(t, true)
	// It may boot only once the step waits for it, however fast it does.
	s.wire.dead()
	s.verb(t, baremetal.VerbActive)
	s.awaitState(t, baremetal.DeployWait)
	s.wire.good()
	if n := s.awaitState(t, baremetal.Active); n.LastError != "" {
		t.Errorf("last_error %q", n.LastError)
	}
	if waits := s.history(t, "Waiting: the machine has not asked for a login on its serial console yet"); len(waits) != 1 {
		t.Errorf("waits in the history: %q", s.history(t, "Waiting"))
	}
	status, err := s.service.(*pxe.Service).BootStatus(t.Context(), s.node)
	if err != nil || !slices.Contains(status.Signs, pxe.SignLogin) {
		t.Errorf("signs of the boot: %v, %v", status.Signs, err)
	}
	boots, err := s.service.(*pxe.Service).Boots(t.Context(), s.node)
	if err != nil || len(boots) == 0 || boots[0].Reached[bootlog.StageLogin].IsZero() {
		t.Errorf("the boot log: %+v, %v", boots, err)
	}
}

// The system comes up, but its console is another line: the deploy fails in
// time and says so, and succeeds once that is corrected.
func TestBootMarkNoPrompt(t *testing.T) {
	t.Parallel()
	const within = 30 * time.Second
	s := promptSite(t, within, nil)
	n, err := s.store.Node(t.Context(), s.node)
	if err != nil {
		t.Fatal(err)
	}
	right := n.DriverInfo.Str("console_port")
	other, line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = other.Close(), line.Close() })
	s.port(t, line.Name())
	s.deploy(t)
	n = s.awaitState(t, baremetal.DeployFailed)
	for _, want := range []string{
		"step deploy.wait_for_boot: Timeout reached while waiting: the machine has not asked for a login on its serial console yet",
		"it has phoned home, but no prompt was seen", "console_port may be another slot's line",
	} {
		if !strings.Contains(n.LastError, want) {
			t.Errorf("last_error is %q, without %q", n.LastError, want)
		}
	}
	if cycles := s.history(t, "power-cycled"); len(cycles) != 0 {
		t.Errorf("a machine that is up was power-cycled: %q", cycles)
	}
	s.port(t, right)
	s.again(t)
}

// A system that hangs after init, with neither a prompt nor a phone-home, is
// power-cycled, and the deploy fails with its stage.
func TestBootMarkHangs(t *testing.T) {
	t.Parallel()
	s := promptSite(t, 5*time.Minute, func(c *Config) { c.Boot.Watchdog.Init = Duration{5 * time.Second} })
	other, line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = other.Close(), line.Close() })
	s.port(t, line.Name())
	s.boot.service.Tokens = nil // its root does not say whom to tell
	s.deploy(t)
	s.fails(t, "init was started", "no login was seen since: look at the console for what the system waits for")
}
