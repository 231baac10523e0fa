package baremetal

import "context"

// Collection keeps one kind of resource. Idents are a uuid or, where the kind
// has names, a name. Errors carry a Kind: NotFound for an unknown ident,
// Conflict for a value that must be unique, Invalid for a reference to
// something that does not exist.
//
// The node given to change and check is the one the resource belongs to, nil
// if it belongs to none; it is not written. Both functions run inside the
// transaction: they must not call the collection and may run more than once,
// and their errors come back as they are, with nothing written.
type Collection[T any] interface {
	One(ctx context.Context, ident string) (T, error)
	List(ctx context.Context, q Query) ([]T, error)
	// Create sets the uuid (if empty), the ID and CreatedAt.
	Create(ctx context.Context, t *T, check func(*T, *Node) error) error
	Update(ctx context.Context, ident string, change func(*T, *Node) error) (T, error)
	Delete(ctx context.Context, ident string, check func(*T, *Node) error) error
}

// Query selects resources of a Collection; nil fields select all. All
// conditions must hold. A condition on something that a kind does not have is
// kind Invalid.
type Query struct {
	Page
	Names           []string
	NodeUUID        *string
	Address         *string
	ResourceClass   *string
	State           *string
	Owner           *string
	Project         *string  // owner, or (of what belongs to a node) owner or lessee of the node
	Shards          []string // of the node
	ConductorGroups []string // of the node
}
