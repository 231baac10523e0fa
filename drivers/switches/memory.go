package switches

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"caddyshack/baremetal"
)

// Memory is a switch that exists in memory only: the in-process twin of the
// real ones, for tests and simulated chassis.
type Memory struct {
	// Fault, if not nil, is asked at each Read and Do what goes wrong with it.
	Fault func(call string) Fault
	// Moment, if not nil, sees the switch at every moment in which something has
	// changed: a port first leaves VLANs, then joins others, one port after
	// another. It must not keep the map, nor call the switch.
	Moment func(ports map[string]PortState)
	// Kept ports are what they were after a restart, as uplinks are that a
	// switch keeps in flash.
	Kept []string

	mu      sync.Mutex // guards what follows
	about   Description
	ports   map[string]PortState
	before  State // what a stale Read returns
	version int
	boots   int

	unfinished bool
}

// Fault is what goes wrong with a call. The zero value is: nothing.
type Fault struct {
	// Delay is how long the call takes; the caller may give up before.
	Delay time.Duration
	// Skip tells for each change of a Do whether it is left undone; nil = none.
	Skip func(i int) bool
	// Err is the answer, whatever has been done; with Skip and no Err the
	// switch lies.
	Err error
	// Stale lets a Read return what the one before it did.
	Stale bool
	// Unfinished: after the Do the switch is Unfinished, until the next one.
	Unfinished bool
}

// NewMemory makes a switch with the given description; its ports carry nothing
// but what state says.
func NewMemory(about Description, state map[string]PortState) *Memory {
	m := &Memory{about: about, ports: map[string]PortState{}, boots: 1}
	for _, p := range about.Ports {
		m.ports[p.Name] = state[p.Name]
	}
	return m
}

// fault asks what goes wrong and lets the time pass.
func (m *Memory) fault(ctx context.Context, call string) (Fault, error) {
	var f Fault
	if m.Fault != nil {
		f = m.Fault(call)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
		}
	}
	return f, ctx.Err()
}

// Describe implements Backend.
func (m *Memory) Describe(context.Context) (Description, error) {
	d := m.about
	d.Ports = slices.Clone(d.Ports)
	return d, nil
}

// Read implements Backend.
func (m *Memory) Read(ctx context.Context) (State, error) {
	f, err := m.fault(ctx, "read")
	if err != nil {
		return State{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.Err != nil {
		return State{}, f.Err
	}
	if !f.Stale || m.before.Ports == nil {
		m.before = State{Ports: maps.Clone(m.ports), Boot: fmt.Sprint(m.boots), Version: m.versionText(), Unfinished: m.unfinished}
	}
	s := m.before
	s.Ports = maps.Clone(s.Ports)
	return s, nil
}

func (m *Memory) versionText() string { return fmt.Sprintf("%d.%d", m.boots, m.version) }

// Do implements Backend.
func (m *Memory) Do(ctx context.Context, version string, changes []Change) error {
	f, err := m.fault(ctx, "do")
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if version != m.versionText() {
		return baremetal.Errorf(baremetal.Conflict, "the switch has changed since it was read")
	}
	if len(changes) == 0 && (f.Skip == nil || !f.Skip(0)) {
		m.version++
	}
	for i, c := range changes {
		if f.Skip == nil || !f.Skip(i) {
			m.change(c)
		}
	}
	if f.Skip == nil {
		m.unfinished = f.Unfinished
	}
	return f.Err
}

func (m *Memory) change(c Change) {
	to := c.To
	if to.MTU == 0 {
		to.MTU = m.ports[c.Port].MTU
	}
	m.set(c.Port, narrowed(m.ports[c.Port], to))
	m.set(c.Port, to)
}

func (m *Memory) set(port string, s PortState) {
	m.version++
	m.ports[port] = s
	if m.Moment != nil {
		m.Moment(m.ports)
	}
}

// Set changes a port by hand, behind everybody's back.
func (m *Memory) Set(port string, s PortState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(port, s)
}

// Restart is a power failure. A switch that forgets has its ports carry nothing
// then, except those Kept; one that leaks at power-up has all of them in VLAN 1.
func (m *Memory) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots++
	m.version = 0
	if m.about.Capabilities.ForgetsAtPowerOff {
		for port := range m.ports {
			switch {
			case slices.Contains(m.Kept, port):
			case m.about.Capabilities.LeaksAtPowerUp:
				m.ports[port] = PortState{Native: 1}
			default:
				m.ports[port] = PortState{}
			}
		}
	}
	if m.Moment != nil {
		m.Moment(m.ports)
	}
}

// Close implements Backend.
func (m *Memory) Close() error { return nil }
