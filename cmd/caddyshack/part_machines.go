package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
)

// machinesEvery is how often the boot service is told which machines there
// are; what is urgent comes without waiting for it.
const machinesEvery = 30 * time.Second

// machineKeeper tells the boot service of a place its machines, so that they
// are known when they ask for an address, and the nodes' history what the boot
// service has seen of them.
type machineKeeper struct {
	d       *daemon
	boot    bootService
	started time.Time
	after   uint64            // the last notice that was told
	said    map[string]string // problems by port
	ports   map[string]bool   // those of this place
}

// runMachines does so until ctx ends.
func (d *daemon) runMachines(ctx context.Context) error {
	select {
	case <-d.working:
	case <-ctx.Done():
		return nil
	}
	k := &machineKeeper{d: d, boot: d.service, started: time.Now(), said: make(map[string]string)}
	tick := time.NewTicker(machinesEvery)
	defer tick.Stop()
	for {
		if err := k.look(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("telling the boot service its machines; tried again", "err", err, "in", machinesEvery)
		}
		select {
		case <-tick.C:
		case <-d.due:
		case <-ctx.Done():
			return nil
		}
	}
}

// look brings both sides up to date.
func (k *machineKeeper) look(ctx context.Context) error {
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, problems, err := k.machines(ctx)
	if err != nil {
		return err
	}
	answer, err := k.boot.SyncMachines(ctx, list)
	if err != nil {
		return err
	}
	k.complain(ctx, append(problems, answer.Problems...))
	return errors.Join(k.show(ctx, answer.Reserved), k.hear(ctx))
}

// machines lists the ports that nodes of this place boot from.
func (k *machineKeeper) machines(ctx context.Context) ([]pxe.Machine, []pxe.MachineProblem, error) {
	driver, group := typeCaddy, k.d.cfg.ConductorGroup
	nodes := map[string]*baremetal.Node{}
	err := k.d.store.Nodes(ctx, baremetal.NodeQuery{Driver: &driver, ConductorGroup: &group}, func(n *baremetal.Node) error {
		if n.Work.Place == "" || n.Work.Place == k.d.cfg.Place {
			c := *n
			nodes[n.UUID] = &c
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the nodes: %w", err)
	}
	ports, err := k.d.store.Ports(ctx, baremetal.PortQuery{})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the ports: %w", err)
	}
	k.ports = make(map[string]bool)
	var list []pxe.Machine
	var problems []pxe.MachineProblem
	for i := range ports {
		p := &ports[i]
		n := nodes[p.NodeUUID]
		if n == nil || !p.PXEEnabled {
			continue
		}
		k.ports[p.UUID] = true
		m, err := nfsroot.MachineOf(n, p)
		if err != nil { // what is right of it counts all the same
			problems = append(problems, pxe.MachineProblem{NodeID: n.UUID, MAC: p.Address, Text: err.Error()})
		}
		if k.d.networks != nil {
			server, err := k.d.networks.BootServer(&drivers.Task{Node: *n, Ports: ports[i : i+1], Log: k.d.log})
			if err != nil {
				continue // it is in no network to boot from: nobody there is to know it
			}
			m.Server = server.Addr()
		}
		list = append(list, m)
	}
	return list, problems, nil
}

// reservedKey is the key of a port's internal_info that shows the address kept for it.
const reservedKey = "reserved_address"

// show writes the addresses that are kept for ports into them, for people and
// clients.
func (k *machineKeeper) show(ctx context.Context, list []pxe.ReservedAddress) error {
	reserved := make(map[string]string, len(list))
	for _, r := range list {
		reserved[r.MAC] = r.Address.String()
	}
	ports, err := k.d.store.Ports(ctx, baremetal.PortQuery{})
	if err != nil {
		return fmt.Errorf("listing the ports: %w", err)
	}
	for i := range ports {
		p := &ports[i]
		want, kept := reserved[p.Address]
		if kept && p.InternalInfo.Str(reservedKey) == want || !kept && !p.InternalInfo.Has(reservedKey) || !k.ports[p.UUID] {
			continue
		}
		_, err := k.d.store.UpdatePort(ctx, p.UUID, func(p *baremetal.Port, _ *baremetal.Node) error {
			if p.InternalInfo = p.InternalInfo.Without(reservedKey); kept {
				p.InternalInfo = p.InternalInfo.With(reservedKey, want)
			}
			return nil
		})
		if err != nil && !baremetal.IsKind(err, baremetal.NotFound) {
			return fmt.Errorf("showing the address of the port %s: %w", p.Address, err)
		}
	}
	return nil
}

// complain writes problems into the history of their nodes, each once.
func (k *machineKeeper) complain(ctx context.Context, problems []pxe.MachineProblem) {
	now := make(map[string]string, len(problems))
	for _, p := range problems {
		key := p.NodeID + " " + p.MAC
		now[key] = p.Text
		if k.said[key] != p.Text {
			k.tell(ctx, p.NodeID, baremetal.SeverityError, fmt.Sprintf("The port %s: %s", p.MAC, p.Text))
		}
	}
	k.said = now
}

// hear writes what the boot service has to say into the history of the nodes.
func (k *machineKeeper) hear(ctx context.Context) error {
	notices, err := k.boot.Notices(ctx, k.after)
	if err != nil {
		return err
	}
	for _, n := range notices {
		k.after = n.Seq
		if n.Time.Before(k.started) {
			continue // told by the process before this one
		}
		if n.Fault == "" {
			k.tell(ctx, n.NodeID, baremetal.SeverityError, n.Text)
			continue
		}
		if err := k.d.conductor.TakeOut(ctx, n.NodeID, n.Fault, n.Text); err != nil {
			k.d.log.Error("a node was not taken out of service; it is when that happens again", "node", n.NodeID, "fault", n.Fault, "err", err)
		}
	}
	return nil
}

func (k *machineKeeper) tell(ctx context.Context, nodeID string, severity baremetal.Severity, text string) {
	if err := k.d.conductor.Tell(ctx, nodeID, severity, "boot", text); err != nil {
		k.d.log.Error("a node's history could not be written", "node", nodeID, "event", text, "err", err)
		return
	}
	k.d.log.Warn("boot", "node", nodeID, "event", text)
}
