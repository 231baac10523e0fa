package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/pxe/images/demo"
	"caddyshack/store/storetest"
)

// The test program runs as the demo when this variable names a state folder.
const (
	childState = "CADDYSHACK_TEST_DEMO_STATE"
	childKill  = "CADDYSHACK_TEST_KILL_AT"
)

func TestMain(m *testing.M) {
	if state := os.Getenv(childState); state != "" {
		os.Exit(demoChild(state))
	}
	if config := os.Getenv(childConfig); config != "" {
		os.Exit(serveChild(config))
	}
	storetest.Main(m)
}

// demoChild runs the demo with one caddy and the tiny image; with childKill it
// kills itself at that point of a deploy, as kill -9 would.
func demoChild(state string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cmd := demoCmd{Listen: "127.0.0.1:0", State: state, Caddies: 1, Pi: "sim", ReadyFile: filepath.Join(state, "ready.json"),
		image: demo.New(demo.Config{Dir: filepath.Join(state, "image"), Go: "/nonexistent", Log: slog.New(slog.DiscardHandler)})}
	if at, err := strconv.Atoi(os.Getenv(childKill)); err == nil {
		cmd.wrapStore = func(s conductor.Store) conductor.Store { return &killer{Store: s, at: int64(at)} }
	}
	if err := cmd.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// killer ends the process at a chosen point of a deploy: point 2n-1 is right
// before the nth write of the conductor, point 2n right after it.
type killer struct {
	conductor.Store
	at     int64
	points atomic.Int64
	armed  atomic.Bool // a deploy has been accepted
}

func (k *killer) point() {
	if k.points.Add(1) == k.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

func (k *killer) UpdateNode(ctx context.Context, ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	n, err := k.Store.UpdateNode(ctx, ident, change)
	if err == nil && n.ProvisionState == baremetal.Deploying && k.armed.CompareAndSwap(false, true) {
		k.point()
	}
	return n, err
}

func (k *killer) UpdateClaimed(ctx context.Context, uuid string, epoch int64, change func(*baremetal.Node) error) (baremetal.Node, error) {
	if !k.armed.Load() {
		return k.Store.UpdateClaimed(ctx, uuid, epoch, change)
	}
	k.point()
	n, err := k.Store.UpdateClaimed(ctx, uuid, epoch, change)
	k.point()
	return n, err
}

// startDemo runs the demo on a state folder. One that is to be killed may have
// been when it comes back: while it went on with a deploy of an earlier life.
func startDemo(t *testing.T, state, killAt string) *process {
	t.Helper()
	p := spawn(t, state, "demo", filepath.Join(state, "ready.json"), childState+"="+state, childKill+"="+killAt)
	if killAt == "" {
		p.mustRun(t)
	}
	return p
}

type nodeRow struct {
	State       string `json:"provision_state"`
	Power       string `json:"power_state"`
	Reservation string `json:"reservation"`
	LastError   string `json:"last_error"`
}

// awaitNode polls the node until ok says so; gone means that the process ended.
func (p *process) awaitNode(t *testing.T, what string, ok func(nodeRow) bool) (n nodeRow, gone bool) {
	t.Helper()
	deadline := time.Now().Add(patient)
	for {
		_, b, err := p.request(http.MethodGet, "/v1/nodes/caddy-1", "")
		if err != nil {
			return n, true
		}
		n = nodeRow{}
		if err := json.Unmarshal(b, &n); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if ok(n) {
			return n, false
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node is not %s after %s: %+v\n%s", what, patient, n, p.printed())
		}
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // polling another process
	}
}

func (p *process) provision(t *testing.T, verb string) {
	t.Helper()
	code, b, err := p.request(http.MethodPut, "/v1/nodes/caddy-1/states/provision", `{"target":"`+verb+`"}`)
	if err == nil && code != http.StatusAccepted {
		t.Fatalf("%s: %d %s", verb, code, b)
	}
}

func is(state string) func(nodeRow) bool {
	return func(n nodeRow) bool { return n.State == state && n.Reservation == "" }
}

// kill -9 at every write of a deploy, before and after it: a restart with the
// same state goes on and ends in active, and nothing stays locked.
func TestKillAtEveryStepOfADeploy(t *testing.T) {
	t.Parallel()
	template := t.TempDir()
	c := startDemo(t, template, "")
	for _, step := range [][2]string{{"manage", "manageable"}, {"provide", "available"}} {
		c.provision(t, step[0])
		if n, gone := c.awaitNode(t, step[1], is(step[1])); gone || n.LastError != "" {
			t.Fatalf("%+v, gone %v\n%s", n, gone, c.printed())
		}
	}
	c.stop(t)
	kills := 0
	for at := 1; ; at++ {
		state := filepath.Join(t.TempDir(), "state")
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", template, state).CombinedOutput(); err != nil { // keeps modes and links
			t.Fatalf("copying the state: %v\n%s", err, out)
		}
		if !killOnce(t, state, at) {
			break // the deploy came to its end before that point
		}
		kills++
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
	}
	if kills < 20 {
		t.Errorf("a deploy was killed at %d points only; the conductor writes more often than that", kills)
	}
	t.Logf("killed at %d points", kills)
}

// killOnce deploys, is killed at the point, starts again and expects the end
// of the deploy. It returns false if the point was never reached.
func killOnce(t *testing.T, state string, at int) bool {
	t.Helper()
	c := startDemo(t, state, strconv.Itoa(at))
	c.provision(t, "active")
	if _, gone := c.awaitNode(t, "active or gone", is("active")); !gone {
		// The last point is right after the write that is seen here.
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
	}
	err := c.end(t, patient)
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("point %d: the demo ended with %v\n%s", at, err, c.printed())
	}
	next := startDemo(t, state, "")
	// The simulated chassis lost its power with the process, and gives it back.
	n, gone := next.awaitNode(t, "active and on", func(n nodeRow) bool {
		return n.Reservation == "" && (n.State == "active" && n.Power == "power on" || strings.HasSuffix(n.State, "failed"))
	})
	if gone || n.LastError != "" || n.State != "active" || n.Power != "power on" {
		t.Fatalf("point %d: after the restart %+v, gone %v\n%s", at, n, gone, next.printed())
	}
	left, err := filepath.Glob(filepath.Join(state, "roots", "nodes", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range left {
		if base := filepath.Base(p); strings.HasPrefix(base, "root.new") || strings.HasPrefix(base, "trash") {
			t.Errorf("point %d: %s is left", at, p)
		}
	}
	next.stop(t)
	return true
}
