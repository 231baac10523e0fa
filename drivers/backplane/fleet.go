// Package backplane drives the backplane units over the MQTT bus: it keeps a
// view of what they report, sends them commands, and implements the power,
// management and vendor interfaces of the hardware type "caddy" on top.
package backplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"caddyshack/bus"
	"caddyshack/drivers"
)

// Config says how to reach the bus.
type Config struct {
	// Broker is the URL, User and Password the controller's at the broker.
	Broker   string
	User     string
	Password string
	// TLS is used for ssl:// URLs.
	TLS *tls.Config
	// ClientID must be unique among all controllers at the broker.
	ClientID string
	// Observe gets what units report of their slots' power by themselves, one
	// at a time; if it is slow it gets only the newest of each slot. nil = nobody listens.
	Observe func(context.Context, drivers.Observation)
	// Silence is how long a unit may say nothing until it counts as offline; 0 = 90 s.
	Silence time.Duration
	// AckTimeout is how long a unit may take to answer a command; 0 = 5 s.
	AckTimeout time.Duration
	// Settle is how long to wait for a unit that was never heard, as after a start; 0 = 2 s.
	Settle time.Duration
	// BackOff before a new attempt to connect; 0 = 1 s.
	BackOff time.Duration
	// Log gets connections, units that come and go, and messages that break the
	// contract; nil = discard.
	Log *slog.Logger
}

// Stats counts what was ignored.
type Stats struct {
	// Malformed messages broke the contract.
	Malformed int64
	// UnmatchedAcks answered no command of ours that waits for an answer: late,
	// repeated, forged, or meant for another controller.
	UnmatchedAcks int64
	// OldStates had a lower seq than one that was heard before.
	OldStates int64
}

// Fleet is all the units on one bus.
type Fleet struct {
	cfg    Config
	log    *slog.Logger
	client *bus.Client
	cancel context.CancelFunc
	work   sync.WaitGroup
	ring   chan struct{} // there is something to observe

	mu      sync.Mutex
	units   map[string]*unitView
	change  chan struct{} // closed and replaced with every change of a view
	pending map[string]*pending
	observe map[slotKey]drivers.Observation
	order   []slotKey // of observe
	ready   bool
	broken  time.Time // since when there is no connection; zero = connected
	conns   int       // connections made
	stats   Stats
}

type slotKey struct {
	unit string
	slot int
}

func (k slotKey) String() string { return fmt.Sprintf("%s/%d", k.unit, k.slot) }

// Start connects in the background; Close ends it.
func Start(cfg Config) (*Fleet, error) {
	if cfg.Silence == 0 {
		cfg.Silence = 90 * time.Second
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = 5 * time.Second
	}
	if cfg.Settle == 0 {
		cfg.Settle = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{
		cfg: cfg, log: cfg.Log, ring: make(chan struct{}, 1), change: make(chan struct{}),
		units: map[string]*unitView{}, pending: map[string]*pending{}, observe: map[slotKey]drivers.Observation{},
		broken: time.Now(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	// The callbacks use f.client, which is set under the lock they take first.
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	f.client, err = bus.NewClient(bus.ClientConfig{
		Broker: cfg.Broker, ClientID: cfg.ClientID, User: cfg.User, Password: cfg.Password, TLS: cfg.TLS, BackOff: cfg.BackOff,
		Will:          &bus.Message{Topic: bus.ControllerStatusTopic, Payload: []byte(bus.Offline), QoS: 1, Retained: true},
		Subscriptions: []string{bus.Root + "/bpu/#", bus.ControllerStatusTopic},
		OnMessage:     f.message, OnConnect: f.connected, OnLost: f.lost, Log: cfg.Log,
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting the backplane driver: %w", err)
	}
	f.work.Go(func() { f.watch(ctx) })
	f.work.Go(func() { f.tell(ctx) })
	return f, nil
}

// WaitConnected returns when the bus is reached.
func (f *Fleet) WaitConnected(ctx context.Context) error { return f.client.WaitConnected(ctx) }

// SetReady tells the units whether the controller can serve boots: after a power
// loss they wait for it. It is repeated with every connection.
func (f *Fleet) SetReady(ctx context.Context, ready bool) error {
	f.mu.Lock()
	f.ready = ready
	f.mu.Unlock()
	return f.sayReady(ctx)
}

// Close says that the controller is gone and disconnects.
func (f *Fleet) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	if f.client.Connected() {
		if err := f.SetReady(ctx, false); err != nil {
			f.log.Warn("telling the backplane units goodbye", "error", err)
		}
	}
	cancel()
	f.cancel()
	f.client.Close()
	f.work.Wait()
}

// Stats returns the counts so far.
func (f *Fleet) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *Fleet) sayReady(ctx context.Context) error {
	f.mu.Lock()
	status := bus.Offline
	if f.ready {
		status = bus.Ready
	}
	f.mu.Unlock()
	return f.client.Publish(ctx, bus.Message{Topic: bus.ControllerStatusTopic, Payload: []byte(status), QoS: 1, Retained: true})
}

func (f *Fleet) connected(ctx context.Context) {
	f.mu.Lock()
	f.broken = time.Time{}
	f.conns++
	ready := f.ready
	for _, u := range f.units {
		u.live = false
	}
	f.changed()
	f.mu.Unlock()
	f.work.Go(func() { f.hearAgain(ctx) })
	if !ready {
		return
	}
	sayCtx, cancel := context.WithTimeout(ctx, f.cfg.AckTimeout)
	defer cancel()
	if err := f.sayReady(sayCtx); err != nil {
		f.log.Warn("telling the backplane units that the controller is ready", "error", err)
	}
}

// hearAgain asks for all retained messages again soon after a connection was
// made, as one that was published at that very moment may have been missed.
func (f *Fleet) hearAgain(ctx context.Context) {
	for _, pause := range []time.Duration{500 * time.Millisecond, 5 * time.Second} {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if err := f.client.Resubscribe(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("asking for the retained messages again", "error", err)
		}
	}
}

func (f *Fleet) lost(error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = time.Now()
	f.changed()
}

// changed wakes all that wait for a change; the lock is held.
func (f *Fleet) changed() {
	close(f.change)
	f.change = make(chan struct{})
}

// watch finds units that fell silent.
func (f *Fleet) watch(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Silence / 9)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		now := time.Now()
		for _, u := range f.units {
			if u.online && now.Sub(u.heard) > f.cfg.Silence {
				f.goOffline(u, u.heard)
			}
		}
		f.mu.Unlock()
	}
}
