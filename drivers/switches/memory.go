package switches

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"

	"caddyshack/baremetal"
)

// Memory is a switch that exists in memory only: the in-process twin of the
// real ones, for tests and simulated chassis. Ports that nobody has configured
// carry nothing, unless State says otherwise.
type Memory struct {
	mu      sync.Mutex
	about   Description
	ports   map[string]PortState
	version int
	boots   int
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

// Describe implements Backend.
func (m *Memory) Describe(context.Context) (Description, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.about
	d.Ports = slices.Clone(d.Ports)
	return d, nil
}

// Read implements Backend.
func (m *Memory) Read(context.Context) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return State{Ports: maps.Clone(m.ports), Boot: strconv.Itoa(m.boots), Version: strconv.Itoa(m.version)}, nil
}

// Do implements Backend.
func (m *Memory) Do(_ context.Context, version string, changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version != strconv.Itoa(m.version) {
		return baremetal.Errorf(baremetal.Conflict, "the switch has changed since it was read")
	}
	m.version++
	for _, c := range changes {
		to := c.To
		if to.MTU == 0 {
			to.MTU = m.ports[c.Port].MTU
		}
		m.ports[c.Port] = to
	}
	return nil
}

// Close implements Backend.
func (m *Memory) Close() error { return nil }
