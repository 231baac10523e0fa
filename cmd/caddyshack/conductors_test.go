package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/conductor"
	"caddyshack/internal/heldport"
	"caddyshack/sim/chassis"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

const (
	childConfig = "CADDYSHACK_TEST_CONFIG"
	childReady  = "CADDYSHACK_TEST_READY"
	childStop   = "CADDYSHACK_TEST_STOP"
)

// serveChild runs `serve`; with childStop it stops itself, as SIGSTOP does,
// between writing a command's id in the row and sending the command.
func serveChild(config string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cmd := serveCmd{Config: config, ReadyFile: os.Getenv(childReady)}
	if os.Getenv(childStop) != "" {
		cmd.wrapStore = func(s conductor.Store) conductor.Store { return &stopper{Store: s} }
	}
	if err := cmd.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// stopper stops the process once, right after a driver's note was written.
type stopper struct {
	conductor.Store
	stopped bool
}

func (s *stopper) UpdateClaimed(ctx context.Context, uuid string, epoch int64, change func(*baremetal.Node) error) (baremetal.Node, error) {
	n, err := s.Store.UpdateClaimed(ctx, uuid, epoch, change)
	if err == nil && !n.Work.Journal.IsEmpty() && !s.stopped {
		s.stopped = true
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			panic(err)
		}
		// The kernel stops the threads one by one: wait until it has happened,
		// which shows by the time that has passed when this one goes on.
		for began := time.Now(); time.Since(began) < 5*time.Second; {
			time.Sleep(time.Millisecond)
		}
	}
	return n, err
}

// startServe runs `serve` with a configuration, which is kept in dir.
func startServe(t *testing.T, dir, name, config string, env ...string) *process {
	t.Helper()
	file, readyFile := filepath.Join(dir, name+".toml"), filepath.Join(dir, name+".json")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return spawn(t, dir, name, readyFile, append([]string{childConfig + "=" + file, childReady + "=" + readyFile}, env...)...).mustRun(t)
}

// Two conductors on one PostgreSQL, roots and bus in a third process: the one
// that works on a deploy is stopped right before it sends a command. The other
// finishes within 15 s; the stopped one, continued, writes nothing more, and
// the unit refuses its late command.
func TestStoppedConductorIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := storetest.Postgres(t)
	tiny := tinyImage(t, dir)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	offer := heldport.Address(t)
	shack := startServe(t, dir, "shack", fmt.Sprintf(`
state_dir = %q
roles = ["broker", "boot", "os-server"]
[broker]
listen = "127.0.0.1:0"
password = "secret"
units = [{id = "bpu-1", password = "unit"}]
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
nfs_listen = "127.0.0.1:0"
tree = "unprivileged"
serve = %q
token_file = %q
[images]
folders = [%q]
`, filepath.Join(dir, "shack"), offer, token, dir))
	conductorConfig := func(name string) string {
		return fmt.Sprintf(`
state_dir = %q
host = %q
roles = ["api", "conductor"]
[api]
listen = "127.0.0.1:0"
[database]
url = %q
[broker]
url = %q
password = "secret"
[boot]
remote = %q
token_file = %q
[images]
default_image = %q
`, filepath.Join(dir, name), name, url, shack.addr.MQTT, "http://"+offer, token, "file://"+tiny.Path)
	}
	racked := rack(t, shack, dir, 1)
	bench, acks := watchAcks(t, shack.addr.MQTT)

	one := startServe(t, dir, "one", conductorConfig("one"), childStop+"=1")
	two := startServe(t, dir, "two", conductorConfig("two"))
	rows, err := store.Open(t.Context(), store.Config{PostgresURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rows.Close() })
	uuid := createCaddy(t, two, racked.caddies[0])
	send(t, two, "manage", uuid)
	awaitRow(t, rows, uuid, "manageable", func(n *baremetal.Node) bool { return n.ProvisionState == baremetal.Manageable })
	send(t, two, "provide", uuid)
	awaitRow(t, rows, uuid, "available", func(n *baremetal.Node) bool { return n.ProvisionState == baremetal.Available })

	send(t, one, "active", uuid)
	stopped := awaitRow(t, rows, uuid, "in the middle of a deploy by one", func(n *baremetal.Node) bool {
		return n.Work.Reservation == "one" && !n.Work.Journal.IsEmpty() && processStopped(t, one.cmd.Process.Pid)
	})
	began := time.Now()
	awaitRow(t, rows, uuid, "taken over", func(n *baremetal.Node) bool { return n.Work.ClaimEpoch > stopped.Work.ClaimEpoch })
	taken := time.Since(began)
	done := awaitRow(t, rows, uuid, "active", func(n *baremetal.Node) bool {
		return n.ProvisionState == baremetal.Active && n.Work.Reservation == ""
	})
	took := time.Since(began)
	if took > 15*time.Second {
		t.Errorf("the other conductor took %v, of which %v to take over; want at most 15 s", took, taken)
	}
	if done.Work.ClaimEpoch <= stopped.Work.ClaimEpoch || done.LastError != "" {
		t.Errorf("epoch %d after %d, error %q", done.Work.ClaimEpoch, stopped.Work.ClaimEpoch, done.LastError)
	}
	t.Logf("the other conductor took over %.1f s after the first was stopped, and finished after %.1f s", taken.Seconds(), took.Seconds())

	// Meanwhile somebody switches the node off: the late "on" must not undo that.
	if code, b, err := two.request(http.MethodPut, "/v1/nodes/"+uuid+"/states/power", `{"target":"power off"}`); err != nil || code != http.StatusAccepted {
		t.Fatalf("power off: %d %s %v", code, b, err)
	}
	off := awaitRow(t, rows, uuid, "off", func(n *baremetal.Node) bool {
		return n.PowerState == baremetal.PowerOff && n.Work.Reservation == ""
	})
	// The watcher hears on a connection of its own: this answer comes after those
	// to all commands until now.
	command(t, bench, acks, "before", stopped.Work.ClaimEpoch)
	if err := one.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	one.awaitOutput(t, "another conductor works on the node now")
	answer, before := command(t, bench, acks, "after", stopped.Work.ClaimEpoch)
	for _, a := range before { // its command may have gone out before it noticed
		if a.Code != bus.CodeStale && a.Code != bus.CodeDup {
			t.Errorf("the late command was answered %+v, want it not carried out", a)
		}
	}
	// Nor does the unit listen to any other command of that claim.
	if answer.OK || answer.Code != bus.CodeStale {
		t.Errorf("a command with the epoch of the lost claim was answered %+v, want stale", answer)
	}
	if code, _, err := one.request(http.MethodGet, "/v1/nodes/"+uuid, ""); err != nil || code != http.StatusOK {
		t.Errorf("the continued process answers %d, %v", code, err)
	}
	after, err := rows.Node(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	// What units and boots report is everybody's to write down; all else is the claimant's.
	for _, n := range []*baremetal.Node{&off, &after} {
		n.DriverInternalInfo, n.UpdatedAt = n.DriverInternalInfo.Without("boot"), time.Time{}
		n.Work.Version, n.Work.ObservedBoot, n.Work.ObservedSeq = 0, 0, 0
	}
	if d := cmp.Diff(off, after); d != "" {
		t.Errorf("the continued conductor wrote: %s", d)
	}
	if state := racked.units.(*chassis.Chassis).Unit("bpu-1").State(1); state.Power != bus.PowerOff {
		t.Errorf("the slot is %q after the late command", state.Power)
	}
}
