//go:build faults

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/conductor/conductortest"
	"caddyshack/internal/heldport"
	"caddyshack/pxe"
	"caddyshack/pxe/images"
	"caddyshack/pxe/images/demo"
	"caddyshack/pxe/tftpd"
)

// site is the whole program with one virtual Pi behind a bad wire.
type site struct {
	*daemon
	writes *conductortest.Changes
	wire   *badWire
	node   string
}

// stalls makes the deadlines of a boot short, but long enough for a busy machine
// between two signs of a boot that goes on.
func stalls(c *Config) {
	short := Duration{8 * time.Second}
	c.Boot.Watchdog = WatchdogConfig{Power: short, DHCP: short, Transfer: short, File: short, Kernel: short, Mount: short, Init: Duration{2 * time.Minute}}
}

// newSite starts the program. With the usual deadlines no boot stands still
// because the machine is busy; stalls makes them short.
func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	dir := t.TempDir()
	cfg, err := demoConfig("127.0.0.1:0", dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	anyPorts(cfg)
	if change != nil {
		change(cfg)
	}
	log := slog.New(slog.DiscardHandler)
	image := demo.New(demo.Config{Dir: filepath.Join(dir, "image"), Go: "/nonexistent", Log: log})
	if err := image.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	writes := new(conductortest.Changes)
	d := &daemon{cfg: cfg, log: log, builtins: map[string]images.Builtin{demo.Name: image}, enrolAfter: make(chan struct{}), wrapStore: writes.Watch}
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &site{daemon: d, writes: writes, wire: newBadWire(t, d.boot.tftp[0].Addr())}
	racked, err := startSimulated(t.Context(), simulatedConfig{Caddies: 1, Dir: filepath.Join(dir, "chassis"), Broker: d.brokerURL,
		Password: unitPassword(cfg), TFTP: s.wire.addr(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, gctx := errgroup.WithContext(ctx)
	seeded := make(chan error, 1)
	g.Go(func() error { return racked.run(gctx) })
	g.Go(func() error {
		return d.run(gctx, func(ready) error {
			err := racked.units.Online(gctx)
			if err == nil {
				err = seed(gctx, d, racked.caddies)
			}
			close(d.enrolAfter)
			seeded <- err
			return err
		})
	})
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
		racked.closeLogged()
		d.closeLogged()
	})
	if err := <-seeded; err != nil {
		t.Fatal(err)
	}
	n, err := d.store.Node(t.Context(), "caddy-1")
	if err != nil {
		t.Fatal(err)
	}
	s.node = n.UUID
	return s
}

func (s *site) verb(t *testing.T, v baremetal.Verb) {
	t.Helper()
	if err := s.conductor.SetProvision(t.Context(), conductor.Caller{User: "tester"}, s.node, conductor.ProvisionRequest{Verb: v, Minor: 115}); err != nil {
		t.Fatalf("%s: %v", v, err)
	}
}

// patience is how long a node may take to the next state: a boot over a bad wire
// may be tried three times.
const patience = 5 * time.Minute

// await waits until the node is as wanted.
func (s *site) await(t *testing.T, what string, ok func(*baremetal.Node) bool) (n baremetal.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	there := s.writes.Await(ctx, func() bool {
		var err error
		if n, err = s.store.Node(t.Context(), s.node); err != nil {
			t.Fatal(err)
		}
		return ok(&n)
	})
	if !there {
		t.Fatalf("node is not %s after %s: state %q power %q error %q waits for %q: %q\nhistory %q", what, patience,
			n.ProvisionState, n.PowerState, n.LastError, n.Work.WaitReason, n.Work.WaitHint, s.history(t, ""))
	}
	return n
}

func (s *site) awaitState(t *testing.T, state baremetal.ProvisionState) baremetal.Node {
	t.Helper()
	return s.await(t, string(state), func(n *baremetal.Node) bool {
		return n.ProvisionState == state && n.Work.Reservation == ""
	})
}

func (s *site) history(t *testing.T, word string) []string {
	t.Helper()
	list, err := s.store.History(t.Context(), baremetal.HistoryQuery{NodeUUID: s.node, Page: baremetal.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range list {
		if strings.Contains(e.Event, word) {
			texts = append(texts, e.Event)
		}
	}
	return texts
}

// deploy begins a deploy of the node.
func (s *site) deploy(t *testing.T) {
	t.Helper()
	s.verb(t, baremetal.VerbManage)
	s.awaitState(t, baremetal.Manageable)
	s.verb(t, baremetal.VerbProvide)
	s.awaitState(t, baremetal.Available)
	s.verb(t, baremetal.VerbActive)
}

// fails waits for the deploy to fail and checks what it says.
func (s *site) fails(t *testing.T, words ...string) {
	t.Helper()
	n := s.awaitState(t, baremetal.DeployFailed)
	for _, want := range append(words, "2 power-cycles did not help") {
		if !strings.Contains(n.LastError, want) {
			t.Errorf("last_error is %q, without %q", n.LastError, want)
		}
	}
	if cycles := s.history(t, "power-cycled (try "); len(cycles) != 2 {
		t.Errorf("power-cycles in the history: %q", cycles)
	}
}

// again deploys with one command and expects the node to come up.
func (s *site) again(t *testing.T) {
	t.Helper()
	s.verb(t, baremetal.VerbActive)
	if n := s.awaitState(t, baremetal.Active); n.LastError != "" {
		t.Errorf("last_error %q", n.LastError)
	}
}

// Not one packet comes.
func TestFaultSilent(t *testing.T) {
	t.Parallel()
	s := newSite(t, stalls)
	s.wire.dead()
	s.deploy(t)
	s.fails(t, "power came on", "no TFTP request within 8 s: the EEPROM's BOOT_ORDER may lack network boot (0xf2)")
	s.wire.good()
	s.again(t)
}

// Files stop in the middle: for good, and then until the watchdog's power-cycle.
func TestFaultStallMidFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, stalls)
	s.wire.dead()
	s.deploy(t)
	s.awaitState(t, baremetal.DeployWait)
	s.files(t, map[string]tftpd.Content{"kernel8.img": {Data: make([]byte, 40_000)}})
	s.wire.stallsAfter(2)
	s.fails(t, "stalled in kernel8.img at 2.9 kB of 40.0 kB", "the network is bad, or the power was cut or is too weak")
	s.wire.stallsAfter(0)
	s.verb(t, baremetal.VerbActive)
	s.await(t, "being power-cycled", func(*baremetal.Node) bool { return len(s.history(t, "power-cycled (try ")) > 2 })
	s.wire.good()
	s.awaitState(t, baremetal.Active)
}

// files puts up files of a node that waits for its boot: enough for the
// firmware, and some more.
func (s *site) files(t *testing.T, more map[string]tftpd.Content) {
	t.Helper()
	n, err := s.store.Node(t.Context(), s.node)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := s.store.Ports(t.Context(), baremetal.PortQuery{NodeUUID: &n.UUID})
	if err != nil {
		t.Fatal(err)
	}
	tree := tftpd.Tree{ID: n.UUID, Client: netip.MustParseAddr(ports[0].Extra.Str("ip_address")),
		Prefixes: []string{n.DriverInfo.Str("serial_number")}, Files: map[string]tftpd.Content{}}
	for name, text := range map[string]string{
		"start4.elf": "start", "fixup4.dat": "fixup", "config.txt": "arm_64bit=1\n",
		"cmdline.txt": "console=serial0,115200\n", "bcm2711-rpi-4-b.dtb": "dtb",
	} {
		tree.Files[name] = tftpd.Content{Data: []byte(text)}
	}
	maps.Copy(tree.Files, more)
	if err := s.os.trees.Put(tree); err != nil {
		t.Fatal(err)
	}
}

// A share of all packets is lost, each way.
func TestFaultLoss(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{5, 15, 30} {
		t.Run(strconv.Itoa(percent), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, stalls)
			s.wire.loses(float64(percent) / 100)
			s.deploy(t)
			n := s.await(t, "deployed or failed", func(n *baremetal.Node) bool {
				return (n.ProvisionState == baremetal.Active || n.ProvisionState == baremetal.DeployFailed) && n.Work.Reservation == ""
			})
			if n.ProvisionState == baremetal.Active {
				return
			}
			t.Logf("it gave up: %s", n.LastError)
			if !strings.Contains(n.LastError, "the network loses packets") {
				t.Errorf("the loss is not named in %q", n.LastError)
			}
			s.wire.good()
			s.again(t)
		})
	}
}

// The Pi's files have no kernel.
func TestFaultMissingKernel(t *testing.T) {
	t.Parallel()
	s := newSite(t, stalls)
	s.wire.dead()
	s.deploy(t)
	s.awaitState(t, baremetal.DeployWait)
	s.files(t, nil)
	s.wire.good()
	s.fails(t, "asked for kernel8.img which is missing", "the image has no kernel of this name: see kernel= in config.txt")
	s.again(t) // publishes the files of the image
}

// The serial number in driver_info is another Pi's.
func TestFaultWrongSerial(t *testing.T) {
	t.Parallel()
	s := newSite(t, stalls)
	serial := func(to string) {
		t.Helper()
		_, err := s.conductor.UpdateNode(t.Context(), conductor.Caller{User: "tester"}, s.node, func(n *baremetal.Node) error {
			n.DriverInfo = n.DriverInfo.With("serial_number", to)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.store.Node(t.Context(), s.node)
	if err != nil {
		t.Fatal(err)
	}
	right := n.DriverInfo.Str("serial_number")
	serial("deadbeef")
	s.deploy(t)
	s.fails(t, "asked for "+right+"/start4.elf, which is missing", "its serial number may be another than the registered one")
	serial(right)
	s.again(t)
}

// The NFS server cannot be reached when the root is to be mounted.
func TestFaultNFSDown(t *testing.T) {
	t.Parallel()
	// Nobody listens there, and nobody takes it meanwhile.
	down, err := netip.ParseAddrPort(heldport.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, stalls)
	real := s.os.nfsAddr
	s.os.service.NFSPort = down.Port()
	s.deploy(t)
	s.fails(t, "kernel fetched, but root was never mounted", "or a firewall drops NFS")
	s.verb(t, baremetal.VerbActive)
	s.await(t, "being power-cycled", func(*baremetal.Node) bool { return len(s.history(t, "power-cycled (try ")) > 2 })
	back, err := net.Listen("tcp", down.String()) //nolint:noctx // binding does not block
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = back.Close() })
	go passTCP(t.Context(), back, real.String())
	s.awaitState(t, baremetal.Active)
}

// passTCP passes connections on, each from the client's own address.
func passTCP(ctx context.Context, l net.Listener, to string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		from, _ := in.RemoteAddr().(*net.TCPAddr)
		out, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from.IP}}).DialContext(ctx, "tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			context.AfterFunc(ctx, func() { _ = pair[0].Close() })
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}
}

// An active node boots again: that is recorded once, and nobody interferes.
func TestSecondBoot(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Deploy.BootMark = string(pxe.SignHome) })
	s.deploy(t)
	s.awaitState(t, baremetal.Active)
	start := func(n *baremetal.Node) string {
		boot, _ := n.DriverInternalInfo.Get("boot").(map[string]any)
		return fmt.Sprint(boot["outcome"], " ", boot["start"])
	}
	first := start(ptr(s.await(t, "seen to be up", func(n *baremetal.Node) bool { return strings.HasPrefix(start(n), "up ") })))
	if err := s.conductor.SetPower(t.Context(), conductor.Caller{User: "tester"}, s.node, conductor.PowerRequest{Target: baremetal.TargetReboot}); err != nil {
		t.Fatal(err)
	}
	n := s.await(t, "up again", func(n *baremetal.Node) bool { return strings.HasPrefix(start(n), "up ") && start(n) != first })
	if n.ProvisionState != baremetal.Active || n.LastError != "" {
		t.Errorf("%s %q", n.ProvisionState, n.LastError)
	}
	boot, _ := n.DriverInternalInfo.Get("boot").(map[string]any)
	stages, _ := boot["stages"].(map[string]any)
	for _, stage := range []string{"power", "file", "kernel", "mount", "init", "login"} {
		if _, ok := stages[stage]; !ok {
			t.Errorf("%s is not in %v", stage, stages)
		}
	}
	if texts := s.history(t, "has booted"); len(texts) != 2 {
		t.Errorf("boots in the history: %q", texts)
	}
	if cycles := s.history(t, "power-cycled"); len(cycles) != 0 {
		t.Errorf("power-cycles: %q", cycles)
	}
}

func ptr[T any](v T) *T { return &v }
