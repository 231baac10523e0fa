package conductor

import (
	"context"
	"time"

	"caddyshack/baremetal"
)

// Store is what a conductor keeps its truth in. Errors carry a baremetal.Kind.
type Store interface {
	// Now is the clock that leases and wake times are measured with: the
	// database's on PostgreSQL, a monotonic one on SQLite.
	Now(ctx context.Context) (time.Time, error)

	Node(ctx context.Context, ident string) (baremetal.Node, error)
	Nodes(ctx context.Context, q baremetal.NodeQuery, each func(*baremetal.Node) error) error
	// CreateNode sets ID and CreatedAt; a duplicate uuid, name or instance is kind Conflict.
	CreateNode(ctx context.Context, n *baremetal.Node) error
	// UpdateNode reads the row, applies change and writes it in one transaction
	// (retried when it cannot be serialized, so change may run again). An error
	// of change rolls back and is returned as it is. The row's Version grows;
	// UpdatedAt is set unless change only touched Work or power_state.
	UpdateNode(ctx context.Context, ident string, change func(*baremetal.Node) error) (baremetal.Node, error)
	// UpdateClaimed is UpdateNode under a claim: kind ClaimLost, and nothing
	// written, if the row's ClaimEpoch is not epoch or nobody holds the claim.
	UpdateClaimed(ctx context.Context, uuid string, epoch int64, change func(*baremetal.Node) error) (baremetal.Node, error)
	// DeleteNode deletes the node, its ports and history, after check accepted the row in the same transaction.
	DeleteNode(ctx context.Context, ident string, check func(*baremetal.Node) error) error

	// Claim takes the claim by compare-and-swap for owner on host: kind Locked
	// if a live claim is on the row, the owner's own too. ClaimEpoch grows by one.
	Claim(ctx context.Context, uuid, owner, host string, lease time.Duration) (baremetal.Node, error)
	// Renew extends the claims of owner on the nodes and returns those it no longer holds.
	Renew(ctx context.Context, owner string, nodes map[string]int64, lease time.Duration) (lost []string, err error)
	// Claimable lists nodes whose WakeAt has come and on which no live claim is,
	// longest waiting first, of the places and drivers given.
	Claimable(ctx context.Context, places, drivers []string, limit int) ([]string, error)
	// NextWake is the earliest WakeAt of rows without a live claim or the earliest end of a
	// claim on a row with work; zero if there is none.
	NextWake(ctx context.Context) (time.Time, error)
	// VoidClaims ends the claims held on host by owners other than owner: they are of an earlier life.
	VoidClaims(ctx context.Context, host, owner string) (int, error)
	// Wake sets WakeAt to now for a node (an event came); a missing node is no error.
	Wake(ctx context.Context, uuid string) error
	// Wakes delivers the uuid of a node whose WakeAt was set by anyone, in this
	// process or another; "" means look at all. The channel is closed with ctx.
	Wakes(ctx context.Context) <-chan string

	// ObservePower records an observation of the node with that HardwareKey unless a
	// later (boot, seq) was recorded (an equal one is the same observation again,
	// or "offline" after it: it is applied) or a target_power_state is set;
	// it returns the node as it was before, and whether power_state changed.
	ObservePower(ctx context.Context, key string, state baremetal.PowerState, boot, seq int64) (before baremetal.Node, changed bool, err error)

	CreatePort(ctx context.Context, p *baremetal.Port) error
	Port(ctx context.Context, ident string) (baremetal.Port, error)
	Ports(ctx context.Context, q baremetal.PortQuery) ([]baremetal.Port, error)
	// UpdatePort and DeletePort give the port's node as it is in the same transaction.
	UpdatePort(ctx context.Context, ident string, change func(*baremetal.Port, *baremetal.Node) error) (baremetal.Port, error)
	DeletePort(ctx context.Context, ident string, check func(*baremetal.Port, *baremetal.Node) error) error

	// InspectionRules are applied by every inspection that finds something.
	InspectionRules() baremetal.Collection[baremetal.InspectionRule]
	// Document and ChangeDocument keep what does not belong into the row. The
	// empty object removes; an epoch other than 0 fences like UpdateClaimed.
	Document(ctx context.Context, nodeUUID string, kind baremetal.DocumentKind) (d baremetal.Document, found bool, err error)
	ChangeDocument(ctx context.Context, nodeUUID string, kind baremetal.DocumentKind, epoch int64,
		change func(baremetal.Object) (baremetal.Object, error)) error

	Portgroups() baremetal.Collection[baremetal.Portgroup]
	VolumeConnectors() baremetal.Collection[baremetal.VolumeConnector]
	VolumeTargets() baremetal.Collection[baremetal.VolumeTarget]
	DeployTemplates() baremetal.Collection[baremetal.DeployTemplate]

	// Allocations: one created with a NodeUUID takes that node in the same
	// transaction, one deleted frees its node; a node that lets go of its
	// allocation takes it along.
	Allocations() baremetal.Collection[baremetal.Allocation]
	// Candidates lists the free nodes that fit an allocation in all but their traits.
	Candidates(ctx context.Context, a *baremetal.Allocation) ([]baremetal.Candidate, error)
	// AllocationsDue lists the allocations under way on which no live claim is, or
	// one of host's earlier life.
	AllocationsDue(ctx context.Context, owner, host string) ([]string, error)
	// ClaimAllocation is Claim for an allocation that is under way; kind ClaimLost if it is not.
	ClaimAllocation(ctx context.Context, uuid, owner, host string, lease time.Duration) (baremetal.Allocation, error)
	// Allocate gives a node to an allocation in one transaction, under its claim
	// (kind ClaimLost), if check accepts the node as it is then.
	Allocate(ctx context.Context, uuid string, epoch int64, node string, check func(*baremetal.Node) error) error
	// FailAllocation ends an allocation under its claim, with the reason.
	FailAllocation(ctx context.Context, uuid string, epoch int64, reason string) error

	AppendHistory(ctx context.Context, e *baremetal.HistoryEntry) error
	Heartbeat(ctx context.Context, c *baremetal.Conductor) error
	Conductors(ctx context.Context, p baremetal.Page) ([]baremetal.Conductor, error)
}
