package conductor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Settings are what a conductor needs; zero values mean the documented default.
type Settings struct {
	Store    Store
	Registry *drivers.Registry
	// Host is the name shown in reservation and conductor; "" = the machine's name.
	Host string
	// Group is the conductor_group served ("" is the default group).
	Group string
	// Places are where roots, boot trees and consoles that this process reaches
	// live; none = "default".
	Places []string
	// Log may be nil.
	Log *slog.Logger
	// Lease is how long a claim lives without renewal, 0 = 10 s; Renew how often it is renewed, 0 = 3 s.
	Lease, Renew time.Duration
	// LockWait is how long a request waits for a locked node before 409, 0 = 3 s.
	LockWait time.Duration
	// MaxWorkers bounds the nodes worked on at once, 0 = 1000; beyond it requests get 503.
	MaxWorkers int
	// NoAutomatedClean switches automated cleaning off for nodes that do not say.
	NoAutomatedClean bool
	// WaitTimeout ends a wait whose step gave no deadline of its own, 0 = 30 min (Ironic's default).
	WaitTimeout time.Duration
	// PowerTimeout bounds a power action, 0 = 2 min.
	PowerTimeout time.Duration
	// Arrival is how long after its start a conductor waits, in the middle of steps,
	// for machines whose power does not answer yet: who lost the controller takes a
	// while to come back. 0 = not at all.
	Arrival time.Duration
	// NetworkTimeout bounds a call that talks to the switches of one node's ports, 0 = 1 min.
	NetworkTimeout time.Duration
	// PowerSync is how often the power of machines that do not report by
	// themselves is read, 0 = 2 min; PowerRecovery how often those that failed
	// are asked again, 0 = 5 min (Ironic's defaults).
	PowerSync, PowerRecovery time.Duration
	// ForcePowerState imposes the recorded power on a machine that shows another,
	// instead of recording what it shows.
	ForcePowerState bool
	// BootPoll is how often boots that nobody waits for are looked at, 0 = 2 s.
	BootPoll time.Duration
	// NoBootCycles keeps the conductor from power-cycling active nodes of which
	// not one packet was seen since their power came on.
	NoBootCycles bool
	// OnBoot is told of each boot that settled and of each power-cycle because
	// of one; nil means nobody.
	OnBoot func(BootOutcome)
}

// Conductor brings nodes to the state asked for. Make one with New, then Run it.
type Conductor struct {
	Settings
	began   time.Time
	owner   string
	drivers []string

	mu       sync.Mutex
	claims   map[string]*claim // by node uuid
	released chan struct{}     // closed and replaced when a claim ends
	peers    []baremetal.Conductor
	stopping bool
	workers  sync.WaitGroup
	base     context.Context // of the workers, set by Run
	ready    chan struct{}   // closed when Run accepts work
}

// New checks the settings and makes a conductor that does not run yet.
func New(s Settings) (*Conductor, error) {
	if s.Store == nil || s.Registry == nil {
		return nil, fmt.Errorf("making a conductor: a store and a registry of drivers are needed")
	}
	if s.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("finding this machine's name: %w", err)
		}
		s.Host = host
	}
	if len(s.Places) == 0 {
		s.Places = []string{"default"}
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&s.Lease, 10*time.Second)
	setDefault(&s.Renew, 3*time.Second)
	setDefault(&s.LockWait, 3*time.Second)
	setDefault(&s.WaitTimeout, 30*time.Minute)
	setDefault(&s.PowerTimeout, 2*time.Minute)
	setDefault(&s.NetworkTimeout, time.Minute)
	setDefault(&s.PowerSync, 2*time.Minute)
	setDefault(&s.PowerRecovery, 5*time.Minute)
	setDefault(&s.BootPoll, 2*time.Second)
	if s.MaxWorkers == 0 {
		s.MaxWorkers = 1000
	}
	owner, err := processOwner(s.Host)
	if err != nil {
		return nil, err
	}
	return &Conductor{
		Settings: s, began: time.Now(), owner: owner, drivers: s.Registry.Names(),
		claims: map[string]*claim{}, released: make(chan struct{}), ready: make(chan struct{}),
	}, nil
}

func setDefault(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// processOwner names this process among all there have been: host, boot and a
// random part, since pids and (without a clock battery) times repeat.
func processOwner(host string) (string, error) {
	var r [6]byte
	if _, err := rand.Read(r[:]); err != nil {
		return "", fmt.Errorf("naming this process: %w", err)
	}
	return fmt.Sprintf("%s/%s/%d-%s", host, bootID(), os.Getpid(), hex.EncodeToString(r[:])), nil
}

// bootID is the kernel's name for this boot of the machine, "" where there is none.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Run voids the claims of this host's earlier life and then works until ctx
// ends; work under way is parked so that the next process goes on with it.
func (c *Conductor) Run(ctx context.Context) error {
	n, err := c.Store.VoidClaims(ctx, c.Host, c.owner)
	if err != nil {
		return fmt.Errorf("voiding the claims of an earlier run: %w", err)
	}
	if n > 0 {
		c.Log.Info("claims of an earlier run ended", "nodes", n)
	}
	if err := c.heartbeat(ctx); err != nil {
		return fmt.Errorf("registering the conductor: %w", err)
	}
	if err := c.restoreConsoles(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	c.mu.Lock()
	c.base = gctx
	c.mu.Unlock()
	close(c.ready)
	g.Go(func() error { return c.renewLoop(gctx) })
	g.Go(func() error { return c.wakeLoop(gctx) })
	g.Go(func() error { return c.heartbeatLoop(gctx) })
	g.Go(func() error { return c.syncLoop(gctx) })
	g.Go(func() error { return c.allocationLoop(gctx) })
	g.Go(func() error { return c.bootLoop(gctx) })
	err = g.Wait()
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.workers.Wait()
	if ctx.Err() == nil {
		return err
	}
	return nil // asked to stop: what broke off because of that is no failure
}

// stopped tells whether Run has ended or is about to.
func (c *Conductor) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping || (c.base != nil && c.base.Err() != nil)
}

// Ready is closed once Run accepts work.
func (c *Conductor) Ready() <-chan struct{} { return c.ready }

func (c *Conductor) heartbeat(ctx context.Context) error {
	err := c.Store.Heartbeat(ctx, &baremetal.Conductor{
		Hostname: c.Host, ConductorGroup: c.Group, Places: c.Places, Drivers: c.drivers, BootID: bootID(), Alive: true,
	})
	if err != nil {
		return err
	}
	peers, err := c.Store.Conductors(ctx, baremetal.Page{})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.peers = peers
	c.mu.Unlock()
	return nil
}

// heartbeatLoop tells the others that this conductor lives. A quiet chassis
// must not wear its SD card, so it beats only as often as liveness needs.
func (c *Conductor) heartbeatLoop(ctx context.Context) error {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.heartbeat(ctx); err != nil && ctx.Err() == nil {
				c.Log.Warn("conductor heartbeat failed", "err", err)
			}
		}
	}
}

const heartbeatEvery = 20 * time.Second

// serves tells whether this process can work on the node.
func (c *Conductor) serves(n *baremetal.Node) bool {
	return n.ConductorGroup == c.Group && slices.Contains(c.drivers, n.Driver) &&
		(n.Work.Place == "" || slices.Contains(c.Places, n.Work.Place))
}

// HostFor is the host shown as the node's conductor: the holder of its claim,
// or a stable choice among the live conductors that can serve it.
func (c *Conductor) HostFor(n *baremetal.Node) string {
	if n.Work.Reservation != "" {
		return n.Work.Reservation
	}
	c.mu.Lock()
	peers := c.peers
	c.mu.Unlock()
	var hosts []string
	for _, p := range peers {
		if p.Alive && p.ConductorGroup == n.ConductorGroup && slices.Contains(p.Drivers, n.Driver) &&
			(n.Work.Place == "" || slices.Contains(p.Places, n.Work.Place)) {
			hosts = append(hosts, p.Hostname)
		}
	}
	if len(hosts) == 0 {
		return ""
	}
	slices.Sort(hosts)
	return hosts[int(n.ID)%len(hosts)]
}
