package packettest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/drivers/switches"
	"caddyshack/internal/netns"
)

// Lab is some machines, each plugged into a port of a switch.
type Lab struct {
	// VLANs are the ids that tagged frames are tried with, beside 0 and 4095.
	VLANs []int

	t     testing.TB
	hosts []*host

	// What frames of a phase may do is what the ports were before it, or after.
	mu     sync.RWMutex // held by senders while they read the phase and send
	phases []phase
	sent   atomic.Int64
	heard  atomic.Int64

	judged     sync.Mutex // guards what follows
	violations []string
	arrived    map[arrival]bool
	news       chan struct{} // closed and replaced with each first arrival
}

type phase struct{ old, new map[string]switches.PortState }

// arrival is a frame that came to a host.
type arrival struct {
	mark
	to uint8
}

// host is a machine with one interface.
type host struct {
	number uint8
	port   string
	mac    net.HardwareAddr
	ns     *netns.NS
	wire   *wire
}

// deliveryTime is how long frames that should arrive are sent again and again.
const deliveryTime = time.Minute

// New makes a machine for each port, and plugs it in: the link has the port's
// name in the switch's namespace. All ends with the test.
func New(t testing.TB, sw *netns.NS, ports ...string) *Lab {
	t.Helper()
	l := &Lab{t: t, arrived: map[arrival]bool{}, news: make(chan struct{})}
	for i, port := range ports {
		ns, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		h := &host{number: uint8(i), port: port, ns: ns, mac: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}}
		err = errors.Join(
			ns.Do(func() error { // the machine's kernel shall keep quiet
				err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
				if errors.Is(err, os.ErrNotExist) {
					return nil
				}
				return err
			}),
			netns.Cable(ns, "eth0", h.mac, sw, port))
		if err == nil {
			h.wire, err = openWire(ns, "eth0")
		}
		if err != nil {
			t.Fatal(err)
		}
		l.hosts = append(l.hosts, h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var receivers sync.WaitGroup
	for _, h := range l.hosts {
		receivers.Go(func() { l.receive(ctx, h) })
	}
	t.Cleanup(func() {
		cancel()
		receivers.Wait()
		for _, h := range l.hosts {
			h.wire.close()
			if err := netns.Cut(h.ns, "eth0"); err != nil { // at once, for who uses the port's name next
				t.Error(err)
			}
			_ = h.ns.Close()
		}
	})
	return l
}

// receive judges what comes to a host.
func (l *Lab) receive(ctx context.Context, h *host) {
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		frame, tags, err := h.wire.receive(buf)
		if err != nil {
			l.t.Errorf("receiving at %s: %v", h.port, err)
			return
		}
		if m, ok := parseMark(frame); ok {
			l.heard.Add(1)
			l.judge(m, h, tags)
		}
	}
}

func (l *Lab) judge(m mark, to *host, tags []uint16) {
	l.mu.RLock()
	p := l.phases[m.Phase]
	if p.new == nil && int(m.Phase)+1 < len(l.phases) {
		p.new = l.phases[m.Phase+1].new // it was in a queue of the switch when the change began
	}
	l.mu.RUnlock()
	from := l.hosts[m.From]
	why := crossing(m, p.old[from.port], p.old[to.port], tags)
	if why != "" && p.new != nil && crossing(m, p.new[from.port], p.new[to.port], tags) == "" {
		why = ""
	}
	l.judged.Lock()
	defer l.judged.Unlock()
	if why != "" {
		l.violations = append(l.violations, fmt.Sprintf("phase %d: %s from %s, for %s, sent with the tags %v, came to %s: %s",
			m.Phase, m.Kind, from.port, l.hosts[m.Target].port, m.sentTags(), to.port, why))
		return
	}
	a := arrival{m, to.number}
	if !l.arrived[a] {
		l.arrived[a] = true
		close(l.news)
		l.news = make(chan struct{})
	}
}

func (m mark) sentTags() (tags []uint16) {
	for _, t := range m.Tags {
		if t != noTag {
			tags = append(tags, t)
		}
	}
	return tags
}

// begin starts a phase: frames sent from now on are judged by it.
func (l *Lab) begin(p phase) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phases = append(l.phases, p)
	return uint32(len(l.phases) - 1)
}

// send sends one frame in the current phase.
func (l *Lab) send(h *host, target uint8, k kind, tags [2]uint16) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m := mark{Phase: uint32(len(l.phases) - 1), From: h.number, Target: target, Kind: k, Tags: tags}
	if err := h.wire.send(m.build(h.mac, l.hosts[target].mac, rand.Uint64())); err != nil {
		l.t.Errorf("sending from %s: %v", h.port, err)
	}
	l.sent.Add(1)
}

// taggings are all ways to tag a frame: not at all, once, twice.
func (l *Lab) taggings() [][2]uint16 {
	ids := []uint16{0, 4095}
	for _, v := range l.VLANs {
		ids = append(ids, uint16(v))
	}
	all := [][2]uint16{{noTag, noTag}}
	for _, outer := range ids {
		all = append(all, [2]uint16{outer, noTag})
		for _, inner := range ids {
			all = append(all, [2]uint16{outer, inner})
		}
	}
	return all
}

// everything sends one frame of each kind and tagging from a host to each other.
func (l *Lab) everything(h *host, foreign func(a, b *host) bool) {
	for _, target := range l.hosts {
		if target == h {
			continue
		}
		l.send(h, target.number, unicast, [2]uint16{noTag, noTag})
		l.send(h, target.number, arp, [2]uint16{noTag, noTag})
		l.send(h, target.number, neighbour, [2]uint16{noTag, noTag})
		if foreign(h, target) {
			l.send(h, target.number, spoof, [2]uint16{noTag, noTag})
		}
		for _, v := range l.VLANs {
			l.send(h, target.number, unicast, [2]uint16{uint16(v), noTag})
		}
	}
	for _, tags := range l.taggings() {
		l.send(h, h.number, broadcast, tags)
	}
	for range 10 {
		l.send(h, h.number, flood, [2]uint16{noTag, noTag})
	}
}

// required lists what must arrive if everything is sent in a settled phase.
func (l *Lab) required(number uint32, s map[string]switches.PortState) []arrival {
	var all []arrival
	for _, from := range l.hosts {
		for _, to := range l.hosts {
			if from == to {
				continue
			}
			add := func(k kind, target uint8, tags [2]uint16) {
				if vlan, sure := network(s[from.port], tags); sure && reaches(s[from.port], s[to.port], vlan) {
					all = append(all, arrival{mark{number, from.number, target, k, tags}, to.number})
				}
			}
			untagged := [2]uint16{noTag, noTag}
			add(unicast, to.number, untagged)
			add(arp, to.number, untagged)
			add(neighbour, to.number, untagged)
			add(broadcast, from.number, untagged)
			for _, v := range l.VLANs {
				add(unicast, to.number, [2]uint16{uint16(v), noTag})
				add(broadcast, from.number, [2]uint16{uint16(v), noTag})
			}
		}
	}
	return all
}

// Settled sends everything from everywhere while the ports are what s says, and
// returns when all has arrived that should. Frames that the machine or the
// switch lost under load are sent again.
func (l *Lab) Settled(s map[string]switches.PortState) {
	l.t.Helper()
	number := l.begin(phase{old: s})
	missing := l.required(number, s)
	foreign := foreignBy(s)
	for end := time.Now().Add(deliveryTime); ; {
		var senders sync.WaitGroup
		for _, h := range l.hosts {
			senders.Go(func() { l.everything(h, foreign) })
		}
		senders.Wait()
		if missing = l.await(missing, time.Second); len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			m := missing[0]
			l.t.Fatalf("%d frames do not arrive, such as: phase %d: %s from %s with the tags %v to %s", len(missing), m.Phase, m.Kind,
				l.hosts[m.From].port, m.sentTags(), l.hosts[m.to].port)
		}
	}
}

// await returns those that have not arrived after some time.
func (l *Lab) await(missing []arrival, within time.Duration) []arrival {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		l.judged.Lock()
		missing = slices.DeleteFunc(missing, func(a arrival) bool { return l.arrived[a] })
		news := l.news
		l.judged.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-news:
		case <-end.C:
			return missing
		}
	}
}

// foreignBy tells which hosts have no network in common.
func foreignBy(states ...map[string]switches.PortState) func(a, b *host) bool {
	return func(a, b *host) bool {
		for _, s := range states {
			if !s[a.port].Carries().And(s[b.port].Carries()).Empty() {
				return false
			}
		}
		return true
	}
}

// During sends everything from everywhere, again and again, while change takes
// the ports from what old says to what new says.
func (l *Lab) During(old, new map[string]switches.PortState, change func()) {
	l.t.Helper()
	l.begin(phase{old, new})
	ctx, cancel := context.WithCancel(context.Background())
	foreign := foreignBy(old, new)
	var senders sync.WaitGroup
	first := make(chan struct{}, len(l.hosts))
	for _, h := range l.hosts {
		senders.Go(func() {
			for {
				l.everything(h, foreign)
				select {
				case first <- struct{}{}:
				default:
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Millisecond): // so that the switch's queues do not overflow
				}
			}
		})
	}
	defer senders.Wait() // also when change gives the test up
	defer cancel()
	<-first
	change()
	l.begin(phase{old: new}) // at once: what is sent from here on must not meet anything of the old
}

// Violations returns the frames that came where they must not.
func (l *Lab) Violations() []string {
	l.judged.Lock()
	defer l.judged.Unlock()
	return slices.Clone(l.violations)
}

// Check reports frames that came where they must not, and how many were judged.
func (l *Lab) Check() {
	l.t.Helper()
	violations := l.Violations()
	for _, v := range violations[:min(len(violations), 20)] {
		l.t.Error(v)
	}
	var drops uint32
	for _, h := range l.hosts {
		d, err := h.wire.drops()
		if err != nil {
			l.t.Error(err)
		}
		drops += d
	}
	l.t.Logf("%d frames sent, %d received and judged, %d lost at the receivers, %d where they must not be",
		l.sent.Load(), l.heard.Load(), drops, len(violations))
}
