// Package linuxbridge drives a bridge of this machine's kernel that filters
// VLANs, by netlink: a spare Pi, or the controller itself, as the switch. It
// needs the privileges to administer networks.
//
// The bridge is made by the operating system's network configuration, best
// without a VLAN to begin with, so that nothing is forwarded before the first
// change:
//
//	ip link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0
//	bridge vlan add dev eth0 vid 10-29   # the uplink
package linuxbridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

// Bridge is the switches.Backend of one bridge.
type Bridge struct {
	name string
	boot string // of the kernel
}

// New makes the backend; the bridge need not be there yet.
func New(name string) (*Bridge, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's boot id: %w", err)
	}
	return &Bridge{name: name, boot: strings.TrimSpace(string(boot))}, nil
}

// Close implements switches.Backend.
func (b *Bridge) Close() error { return nil }

// links are the bridge, with its settings, and its ports.
type links struct {
	bridge *netlink.Bridge
	ports  []netlink.Link
}

func (b *Bridge) links() (*links, error) {
	link, err := netlink.LinkByName(b.name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, baremetal.Errorf(baremetal.Unavailable, "this machine has no bridge %s: make it with `ip link add %[1]s type bridge vlan_filtering 1 vlan_default_pvid 0`, or correct the configuration", b.name)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the bridge %s: %w", b.name, err)
	}
	bridge, ok := link.(*netlink.Bridge)
	if !ok {
		return nil, baremetal.Errorf(baremetal.Unavailable, "%s is no bridge but a %s: correct the configuration", b.name, link.Type())
	}
	if bridge.VlanFiltering == nil || !*bridge.VlanFiltering {
		return nil, baremetal.Errorf(baremetal.Unavailable, "the bridge %s does not filter VLANs, so that all its ports reach each other: switch it on with `ip link set %[1]s type bridge vlan_filtering 1`", b.name)
	}
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the ports of %s: %w", b.name, err)
	}
	l := &links{bridge: bridge}
	for _, link := range all {
		if link.Attrs().MasterIndex == bridge.Index {
			l.ports = append(l.ports, link)
		}
	}
	return l, nil
}

// Describe implements switches.Backend.
func (b *Bridge) Describe(context.Context) (switches.Description, error) {
	l, err := b.links()
	if err != nil {
		return switches.Description{}, err
	}
	d := switches.Description{
		Kind: "Linux bridge",
		Capabilities: switches.Capabilities{
			PortIsolation: true, MTU: true, ForgetsAtPowerOff: true,
			// A port that is added to it starts in that VLAN.
			LeaksAtPowerUp: l.bridge.VlanDefaultPVID == nil || *l.bridge.VlanDefaultPVID != 0,
		},
		Limits: switches.Limits{MTU: switches.MaxMTU},
		Ports:  []switches.Port{{Name: b.name, Link: up(l.bridge), Host: true}},
	}
	for _, p := range l.ports {
		d.Ports = append(d.Ports, switches.Port{Name: p.Attrs().Name, Link: up(p), Speed: speed(p.Attrs().Name)})
	}
	return d, nil
}

func up(l netlink.Link) bool { return l.Attrs().OperState == netlink.OperUp }

// speed reads the speed of a port in Mbit/s; 0 if it has none.
func speed(port string) int {
	text, err := os.ReadFile(filepath.Join("/sys/class/net", port, "speed"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return max(n, 0) // -1 without a link
}

// Read implements switches.Backend.
func (b *Bridge) Read(context.Context) (switches.State, error) {
	l, err := b.links()
	if err != nil {
		return switches.State{}, err
	}
	entries, err := netlink.BridgeVlanList()
	if err != nil {
		return switches.State{}, fmt.Errorf("reading the VLANs of %s: %w", b.name, err)
	}
	s := switches.State{Ports: map[string]switches.PortState{}, Boot: fmt.Sprintf("%s/%d", b.boot, l.bridge.Index)}
	s.Ports[b.name] = stateOf(entries[int32(l.bridge.Index)])
	for _, p := range l.ports {
		state := stateOf(entries[int32(p.Attrs().Index)])
		info, err := netlink.LinkGetProtinfo(p)
		if err != nil {
			return switches.State{}, fmt.Errorf("reading the port %s of %s: %w", p.Attrs().Name, b.name, err)
		}
		state.Isolated, state.MTU = info.Isolated, p.Attrs().MTU
		s.Ports[p.Attrs().Name] = state
	}
	return s, nil
}

// stateOf says what a port's entries in the table of VLANs mean.
func stateOf(entries []*nl.BridgeVlanInfo) switches.PortState {
	var s switches.PortState
	for _, e := range entries {
		vid := int(e.Vid)
		switch {
		case e.PortVID() && e.EngressUntag():
			s.Native = vid
		case e.PortVID() || e.EngressUntag():
			s.Stray.Add(vid) // without tags in one direction only
		default:
			s.Tagged.Add(vid)
		}
	}
	return s
}

// Do implements switches.Backend. Each single step is in force for the next
// frame.
func (b *Bridge) Do(ctx context.Context, _ string, changes []switches.Change) error {
	if len(changes) == 0 {
		return nil
	}
	state, err := b.Read(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		have, known := state.Ports[c.Port]
		if !known {
			return baremetal.Errorf(baremetal.Conflict, "%s is no longer a port of %s", c.Port, b.name)
		}
		if err := change(c, have); err != nil {
			return fmt.Errorf("changing the port %s of %s: %w", c.Port, b.name, err)
		}
	}
	return nil
}

// change takes VLANs away before it gives others, and isolates the port while
// it carries the least.
func change(c switches.Change, have switches.PortState) error {
	link, err := netlink.LinkByName(c.Port)
	if err != nil {
		return err
	}
	gone := have.Tagged.Minus(c.To.Tagged).Or(have.Stray)
	if have.Native != c.To.Native {
		gone.Add(have.Native)
	}
	gone.Remove(0)
	for _, vid := range gone.IDs() {
		if err := netlink.BridgeVlanDel(link, uint16(vid), false, false, false, true); err != nil {
			return fmt.Errorf("leaving VLAN %d: %w", vid, err)
		}
	}
	if have.Isolated != c.To.Isolated {
		if err := netlink.LinkSetIsolated(link, c.To.Isolated); err != nil {
			return fmt.Errorf("isolating: %w", err)
		}
	}
	for _, vid := range c.To.Tagged.Minus(have.Tagged.Minus(gone)).IDs() {
		if err := netlink.BridgeVlanAdd(link, uint16(vid), false, false, false, true); err != nil {
			return fmt.Errorf("joining VLAN %d: %w", vid, err)
		}
	}
	if c.To.Native != 0 && c.To.Native != have.Native {
		if err := netlink.BridgeVlanAdd(link, uint16(c.To.Native), true, true, false, true); err != nil {
			return fmt.Errorf("joining VLAN %d without tags: %w", c.To.Native, err)
		}
	}
	if c.To.MTU != 0 {
		return netlink.LinkSetMTU(link, c.To.MTU)
	}
	return nil
}

// Watch implements switches.Watcher: the kernel tells of every change of a link.
func (b *Bridge) Watch(ctx context.Context, changed func()) error {
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	defer close(done)
	if err := netlink.LinkSubscribe(updates, done); err != nil {
		return fmt.Errorf("listening for changes of links: %w", err)
	}
	changed()
	for {
		select {
		case _, ok := <-updates:
			if !ok {
				return errors.New("the kernel tells no more changes of links")
			}
			changed()
		case <-ctx.Done():
			return nil
		}
	}
}
