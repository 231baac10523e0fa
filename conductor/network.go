package conductor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// The steps by which the conductor moves a node's ports, under the names of
// Ironic's network interface. They are put into lists of steps where they
// belong, and cannot be left out or asked for.
const (
	stepConfigureNetworks = "configure_networks"
	stepAddCleaning       = "add_cleaning_network"
	stepRemoveCleaning    = "remove_cleaning_network"
	stepAddServicing      = "add_servicing_network"
	stepRemoveServicing   = "remove_servicing_network"
)

func networkStep(name string) baremetal.Step {
	return baremetal.Step{Interface: "network", Name: name, Abortable: true}
}

// mover is the node's network, if it moves ports.
func (c *Conductor) mover(n *baremetal.Node) (drivers.NetworkMover, bool) {
	impl, err := c.Registry.Interface(n, "network")
	if err != nil {
		return nil, false // who needs the interface says so
	}
	m, ok := impl.(drivers.NetworkMover)
	return m, ok
}

// withDeployNetwork adds to a deploy's steps the one that moves the ports:
// after the machine is first switched off, and so before it is switched on.
func (c *Conductor) withDeployNetwork(n *baremetal.Node, steps []baremetal.Step) []baremetal.Step {
	if _, moves := c.mover(n); !moves || len(steps) == 0 {
		return steps
	}
	at := 0
	for i, s := range steps {
		if s.Name == baremetal.StepPowerOff && !s.OnChildren {
			at = i + 1
			break
		}
		if s.Name == baremetal.StepPowerOn || s.Name == baremetal.StepReboot {
			break
		}
	}
	out := append([]baremetal.Step{}, steps[:at]...)
	return append(append(out, networkStep(stepConfigureNetworks)), steps[at:]...)
}

// withCleaningNetwork puts steps of a cleaning between the moves to the
// cleaning network and back.
func (w *work) withCleaningNetwork(steps []baremetal.Step) []baremetal.Step {
	if _, moves := w.c.mover(&w.node); !moves || len(steps) == 0 || w.node.Work.Intent.DisableRamdisk {
		return steps
	}
	out := append([]baremetal.Step{networkStep(stepAddCleaning)}, steps...)
	return append(out, networkStep(stepRemoveCleaning))
}

// withServicingNetwork is the same for service steps, on nodes that have such a
// network; a machine that ran runs again at the end.
func (w *work) withServicingNetwork(t *drivers.Task, steps []baremetal.Step) []baremetal.Step {
	m, moves := w.c.mover(&w.node)
	if !moves || len(steps) == 0 || w.node.Work.Intent.DisableRamdisk || !m.HasNetwork(t, baremetal.ServicingNetwork) {
		return steps
	}
	out := append([]baremetal.Step{networkStep(stepAddServicing)}, steps...)
	out = append(out, networkStep(stepRemoveServicing))
	if w.node.PowerState == baremetal.PowerOn {
		out = append(out, baremetal.Step{Interface: "power", Name: baremetal.StepPowerOn})
	}
	return out
}

// runNetworkStep carries out one of the steps above.
func (w *work) runNetworkStep(ctx context.Context, t *drivers.Task, name string) error {
	m, moves := w.c.mover(&w.node)
	if !moves { // the interface was changed on a node in maintenance
		return nil
	}
	var kind baremetal.NetworkKind
	switch name {
	case stepConfigureNetworks, stepRemoveServicing:
		kind = m.InstanceNetwork(t)
	case stepAddCleaning:
		kind = baremetal.CleaningNetwork
	case stepRemoveCleaning:
		kind = restingNetwork(t)
	case stepAddServicing:
		kind = baremetal.ServicingNetwork
	default:
		return baremetal.Errorf(baremetal.Invalid, "the conductor has no network step %q", name)
	}
	return w.enterNetwork(ctx, t, kind)
}

// restingNetwork is where the ports of a node without an instance belong.
func restingNetwork(t *drivers.Task) baremetal.NetworkKind {
	for i := range t.Ports {
		if t.Ports[i].InternalInfo.Str(baremetal.TenantVIF) != "" {
			return baremetal.TenantNetwork
		}
	}
	return baremetal.IdleNetwork
}

// enterNetwork puts the node's ports into a network of the kind, and returns
// once the switches show it. A machine that runs is switched off before its
// ports are moved. A move that fails ends in the idle network.
func (w *work) enterNetwork(ctx context.Context, t *drivers.Task, kind baremetal.NetworkKind) error {
	m, moves := w.c.mover(&w.node)
	if !moves {
		return nil
	}
	there := false
	err := w.inTime(ctx, func(ctx context.Context) (err error) {
		there, err = m.InNetwork(ctx, t, kind)
		return err
	})
	if err == nil && there {
		if w.node.Network() == (baremetal.NetworkState{Kind: kind}) {
			return nil
		}
		return w.keepNetwork(ctx, t, baremetal.NetworkState{Kind: kind})
	}
	if err == nil && w.node.PowerState != baremetal.PowerOff {
		err = w.powerStep(ctx, t, baremetal.TargetOff)
	}
	if err == nil {
		err = w.move(ctx, m, t, kind)
	}
	if err == nil || ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost) {
		return err // what was begun stands in the row as moving
	}
	return w.isolate(ctx, m, t, err)
}

// enterFor moves the ports at the beginning of a verb that is one piece of
// work, whose first state is given: once the machine waits, or has its helper
// system, it must not be switched off for a move.
func (w *work) enterFor(ctx context.Context, t *drivers.Task, first baremetal.ProvisionState, kind baremetal.NetworkKind) error {
	m, moves := w.c.mover(&w.node)
	if !moves || !m.HasNetwork(t, kind) || w.node.ProvisionState != first || w.node.Network() == (baremetal.NetworkState{Kind: kind}) {
		return nil
	}
	return w.enterNetwork(ctx, t, kind)
}

// leave moves the ports out of a network at the end of what they were in it for.
func (w *work) leave(ctx context.Context, t *drivers.Task, from, to baremetal.NetworkKind) error {
	if w.node.Network().Kind != from {
		return nil
	}
	return w.enterNetwork(ctx, t, to)
}

// move writes where the ports belong, moves them, and writes that they are there.
func (w *work) move(ctx context.Context, m drivers.NetworkMover, t *drivers.Task, kind baremetal.NetworkKind) error {
	if err := w.keepNetwork(ctx, t, baremetal.NetworkState{Kind: kind, Moving: true}); err != nil {
		return err
	}
	if err := w.inTime(ctx, func(ctx context.Context) error { return m.MoveNetwork(ctx, t, kind) }); err != nil {
		return err
	}
	return w.keepNetwork(ctx, t, baremetal.NetworkState{Kind: kind})
}

// isolate ends a move that failed in the idle network. If not even that can be
// done, the row says that it is wanted, and it is done once the switch answers.
func (w *work) isolate(ctx context.Context, m drivers.NetworkMover, t *drivers.Task, cause error) error {
	err := w.move(ctx, m, t, baremetal.IdleNetwork)
	switch {
	case err == nil:
		return fmt.Errorf("%w; the node's ports are in the idle network", cause)
	case ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost):
		return err
	}
	return fmt.Errorf("%w; and the way back to the idle network failed too (%w): it is done once the switch answers", cause, err)
}

// inTime bounds a call that talks to switches.
func (w *work) inTime(ctx context.Context, call func(context.Context) error) error {
	cctx, cancel := context.WithTimeout(ctx, w.c.NetworkTimeout)
	defer cancel()
	err := call(cctx)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the switch did not answer within %s: %w", w.c.NetworkTimeout, err)
	}
	return err
}

// keepNetwork writes where the ports belong.
func (w *work) keepNetwork(ctx context.Context, t *drivers.Task, s baremetal.NetworkState) error {
	err := w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		n.SetNetwork(s)
		return nil
	})
	if err == nil {
		t.Node = w.node
	}
	return err
}

// hasInstance tells whether a node in the state has, gets or may have an instance.
func hasInstance(s baremetal.ProvisionState) bool {
	switch s {
	case baremetal.Active, baremetal.Deploying, baremetal.DeployWait, baremetal.DeployHold, baremetal.DeployFailed, baremetal.Adopting,
		baremetal.ErrorState, baremetal.RescueFailed, baremetal.UnrescueFailed, baremetal.ServiceFailed:
		return true
	}
	return false
}

// movesNow tells whether virtual interfaces that come or go move the ports at
// once: elsewhere (in cleaning, in rescue) they wait for the end of it.
func movesNow(n *baremetal.Node) bool {
	switch n.Network().Kind {
	case baremetal.IdleNetwork, baremetal.TenantNetwork, baremetal.ProvisioningNetwork:
		return true
	}
	return false
}

// afterVIF is where the ports belong once virtual interfaces have come or gone.
func (w *work) afterVIF(m drivers.NetworkMover, t *drivers.Task) baremetal.NetworkKind {
	switch kind := w.node.Network().Kind; {
	case !hasInstance(w.node.ProvisionState):
		return restingNetwork(t)
	case kind == baremetal.TenantNetwork:
		return kind
	}
	return m.InstanceNetwork(t)
}

// switchVIF attaches or detaches a virtual interface and moves the ports. The
// rows are written so that a crash at any point leaves them agreeing: an
// interface that is listed is on the port, or will be.
func (w *work) switchVIF(ctx context.Context, m drivers.NetworkMover, t *drivers.Task, v drivers.VIF, attach bool) error {
	is, was := v.ID, ""
	if !attach {
		is, was = "", v.ID
	}
	after := withVIF(t, v, is)
	before, kind := w.node.Network().Kind, w.afterVIF(m, after)
	if err := w.refuseCut(m, t, after, kind); err != nil {
		return err
	}
	if attach {
		if err := w.keepNetwork(ctx, after, baremetal.NetworkState{Kind: kind, Moving: true}); err != nil {
			return err
		}
	}
	err := w.noteVIF(ctx, v, is)
	if err == nil {
		err = w.move(ctx, m, after, kind)
	}
	if err == nil {
		err = w.tellDeploy(ctx, m, after, kind)
	}
	if err == nil || ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost) {
		return err
	}
	if uerr := w.noteVIF(ctx, v, was); uerr != nil {
		return errors.Join(err, uerr)
	}
	if before != baremetal.IdleNetwork && w.move(ctx, m, t, before) == nil {
		return fmt.Errorf("%w; the node's ports are in the networks that they were in before", err)
	}
	return w.isolate(ctx, m, t, err)
}

// withVIF is the task as it will be with another virtual interface ("" = none) on a port.
func withVIF(t *drivers.Task, v drivers.VIF, is string) *drivers.Task {
	after := *t
	after.Ports = slices.Clone(t.Ports)
	for i := range after.Ports {
		p := &after.Ports[i]
		switch {
		case v.Port == nil || p.UUID != v.Port.UUID:
		case is != "":
			p.InternalInfo = p.InternalInfo.With(baremetal.TenantVIF, is)
		default:
			p.InternalInfo = p.InternalInfo.Without(baremetal.TenantVIF)
		}
	}
	return &after
}

// refuseCut refuses a change that takes the root away from a machine that may run.
func (w *work) refuseCut(m drivers.NetworkMover, before, after *drivers.Task, kind baremetal.NetworkKind) error {
	if w.node.PowerState == baremetal.PowerOff || !hasInstance(w.node.ProvisionState) {
		return nil
	}
	deploy, err := drivers.As[drivers.Deploy](w.c.Registry, &w.node, "deploy", "deploy")
	if err != nil || !holdsRoot(deploy) || slices.Equal(m.BootVLANs(before, w.node.Network().Kind), m.BootVLANs(after, kind)) {
		return nil //nolint:nilerr // without a deploy interface there is no root to lose
	}
	return baremetal.Errorf(baremetal.Invalid,
		"Node %s runs from a root that it reaches over this port, and would lose it: power off first (openstack baremetal node power off %s).", w.node.UUID, w.node.UUID)
}

// tellDeploy tells the deploy interface that its node's ports have moved to
// where the node can boot.
func (w *work) tellDeploy(ctx context.Context, m drivers.NetworkMover, t *drivers.Task, kind baremetal.NetworkKind) error {
	boots := slices.ContainsFunc(m.BootVLANs(t, kind), func(vlan int) bool { return vlan != 0 })
	if !boots || !hasInstance(w.node.ProvisionState) {
		return nil
	}
	impl, err := drivers.As[drivers.NetworkFollower](w.c.Registry, &w.node, "deploy", "following the network")
	if err != nil {
		return nil //nolint:nilerr // it does not mind
	}
	return impl.NetworkMoved(ctx, t)
}

// RestoreNetwork puts the ports of a node back where its row says they belong:
// after a switch has forgotten, or somebody has changed it by hand, or a crash
// broke off a move. Kind Locked if somebody works on the node, who moves its
// ports himself.
func (c *Conductor) RestoreNetwork(ctx context.Context, ident string) error {
	return c.borrow(ctx, ident, func(ctx context.Context, w *work) error {
		m, moves := c.mover(&w.node)
		if !moves {
			return nil
		}
		t, err := w.task(ctx)
		if err != nil {
			return err
		}
		state := w.node.Network()
		if err := w.inTime(ctx, func(ctx context.Context) error { return m.MoveNetwork(ctx, t, state.Kind) }); err != nil {
			return err
		}
		w.history(ctx, baremetal.SeverityInfo, "network", "The ports are in the network of kind "+string(state.Kind)+" again")
		if !state.Moving {
			return nil
		}
		return w.keepNetwork(ctx, t, baremetal.NetworkState{Kind: state.Kind})
	})
}
