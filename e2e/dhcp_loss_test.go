//go:build e2e && netns

package e2e

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A share of all DHCP packets is lost, each way: Pis of every model still get
// from power-on to active, by our server and by our proxy beside dnsmasq, and
// an ordinary client gets its address.
func TestDHCPLoss(t *testing.T) {
	t.Parallel()
	// A Pi 3 that has asked five times in vain stays silent until it is switched:
	// with 30 % lost, one 3B+ in four does, and with two servers that both have to
	// be heard every second one. It is switched ten times, and if that did not help
	// deployed again.
	const watchdog = "\n[boot.watchdog]\ntries = 10\npower = \"5s\"\ndhcp = \"5s\""
	for _, c := range []struct {
		mode    string
		percent int
	}{{"server", 5}, {"server", 30}, {"proxy", 15}, {"proxy", 30}} {
		t.Run(fmt.Sprint(c.mode, c.percent), func(t *testing.T) {
			t.Parallel()
			seg := newSegment(t)
			mode := seg.server()
			if c.mode == "proxy" {
				seg.home(150, 159)
				mode = seg.proxy()
			}
			r := newRack(t, seg, 4, mode+watchdog)
			r.serve(t)
			var lost []func() int
			lost = append(lost, lossy(t, "", seg.bridge, c.percent))
			if c.mode == "proxy" {
				lost = append(lost, lossy(t, seg.namespace("home"), "eth0", c.percent))
			}
			r.simulate(t, "--dhcp-pause", "250ms")
			for i := range 4 {
				r.enroll(i + 1)
			}
			r.deployInTheEnd(t, 4)
			r.api.power("caddy-1", "power off")
			r.awaitPower("power off", "caddy-1")
			if got := udhcpcTries(t, seg.namespace("pi-1"), "-t", "3", "-T", "1", "-A", "1"); !strings.HasPrefix(got["ip"], seg.address(1)) {
				t.Errorf("udhcpc on the Pi got %v", got)
			}
			sum := 0
			for _, n := range lost {
				sum += n()
			}
			if t.Logf("%d packets were lost", sum); sum == 0 && c.percent > 5 {
				t.Error("no packet was lost")
			}
		})
	}
}

// deployInTheEnd deploys the first Pis at once. A deploy whose Pi was switched as
// often as it may be and stayed silent is begun again, twice.
func (r *rack) deployInTheEnd(t *testing.T, pis int) {
	t.Helper()
	const longest, again = 4 * time.Minute, 2 // of which it takes seconds, and none
	for i := range pis {
		r.api.provision(fmt.Sprint("caddy-", i+1), "active")
	}
	for i := range pis {
		name := fmt.Sprint("caddy-", i+1)
		for try := 0; ; try++ {
			eventually(t, longest, "the deploy of "+name+" ends", func() bool {
				n := r.api.node(name)
				return n.Reservation == nil && (n.Provision == "active" || n.Provision == "deploy failed")
			})
			n := r.api.node(name)
			if n.Provision == "active" {
				break
			}
			if try == again || !strings.Contains(text(n.LastError), "; 10 power-cycles did not help") {
				t.Fatalf("the deploy of %s failed: %s; history %q", name, text(n.LastError), r.api.history(name))
			}
			t.Logf("%s is deployed again: %s", name, text(n.LastError))
			r.api.provision(name, "active")
		}
	}
}

// lossy makes a share of the DHCP packets to and from the servers in a
// namespace ("" = the controller's) disappear there, where a packet socket of
// the clients cannot see them first. The function it returns tells how many did.
func lossy(t *testing.T, namespace, device string, percent int) func() int {
	t.Helper()
	tables := func(args ...string) string {
		t.Helper()
		argv := append([]string{"iptables", "-w"}, args...)
		if namespace != "" {
			argv = inside(namespace, argv...)
		}
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput() //nolint:noctx // it does not wait for anything
		if err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
		return string(out)
	}
	for _, rule := range [][]string{{"-A", "INPUT", "-i", device, "-p", "udp", "--dport", "67"}, {"-A", "OUTPUT", "-o", device, "-p", "udp", "--sport", "67"}} {
		tables(append(rule, "-m", "statistic", "--mode", "random", "--probability", fmt.Sprint(float64(percent)/100), "-j", "DROP")...)
	}
	count := regexp.MustCompile(`(?m)^-A (?:INPUT|OUTPUT) -[io] ` + device + ` .* -c (\d+) `)
	return func() (n int) {
		for _, m := range count.FindAllStringSubmatch(tables("-S", "-v"), -1) {
			packets, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			n += packets
		}
		return n
	}
}
