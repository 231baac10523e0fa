package drivers

import (
	"context"

	"caddyshack/baremetal"
)

// NetworkMover is implemented by a Network that moves a node's ports between
// networks. The conductor keeps in the node's row where the ports belong
// (baremetal.NetworkState) and writes it before it calls MoveNetwork, so that
// after a crash it is repeated, and a comparison with the switches knows what
// is wanted. Where a port belongs follows from the row, its ports and the
// configuration alone.
type NetworkMover interface {
	VIFs
	// InstanceNetwork is where the node's instance boots and lives: TenantNetwork
	// if a port that boots has a network of its own, else ProvisioningNetwork.
	InstanceNetwork(t *Task) baremetal.NetworkKind
	// HasNetwork tells whether the node has a network of the kind. Moving it to
	// one that it does not have is moving it to the idle network.
	HasNetwork(t *Task, kind baremetal.NetworkKind) bool
	// InNetwork reads the switches and tells whether all ports are as they are
	// in a network of the kind.
	InNetwork(ctx context.Context, t *Task, kind baremetal.NetworkKind) (bool, error)
	// MoveNetwork puts the ports into the network of the kind, whatever they
	// were in before, and returns once the switches show it. It may be repeated.
	// The error says which port on which switch.
	MoveNetwork(ctx context.Context, t *Task, kind baremetal.NetworkKind) error
	// BootVLANs are those in which the ports that boot send and receive without
	// tags, in the order of the ports, when they are in a network of the kind: if
	// they change, an instance loses the root that it has over the network.
	BootVLANs(t *Task, kind baremetal.NetworkKind) []int
}

// NetworkFollower is implemented by a Deploy whose instance must know when its
// node's ports have moved (the address of its root's server is another one).
type NetworkFollower interface {
	// NetworkMoved may be repeated, and called for a node that has no instance.
	NetworkMoved(ctx context.Context, t *Task) error
}
