package store

import (
	"context"
	"sync"

	"caddyshack/baremetal"
)

// Bounds of the nodes kept in memory. A thousand nodes as people have them take about 3 MiB.
const (
	cachedBytes   = 8 << 20
	largestCached = 64 << 10
)

// nodeCache keeps nodes as they were read, by id. An entry is used only while
// its version is that of the row: every write increments it, so an entry is
// right whoever wrote the row. What its nodes point to is shared and must not
// be changed.
type nodeCache struct {
	mu    sync.RWMutex
	nodes map[int64]*baremetal.Node
	bytes int
}

func newNodeCache() *nodeCache { return &nodeCache{nodes: map[int64]*baremetal.Node{}} }

// get returns the node of that id and version, nil if it is not here.
func (c *nodeCache) get(at rowVersion) *baremetal.Node {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if n := c.nodes[at.id]; n != nil && n.Work.Version == at.version {
		return n
	}
	return nil
}

// put keeps a copy of a node that was read, in place of others if there are
// too many, and returns it.
func (c *nodeCache) put(n baremetal.Node) *baremetal.Node {
	size := sizeOf(&n)
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.nodes[n.ID]; old != nil {
		c.drop(old)
	}
	if size > largestCached {
		return &n
	}
	for _, other := range c.nodes {
		if c.bytes+size <= cachedBytes {
			break
		}
		c.drop(other)
	}
	c.nodes[n.ID] = &n
	c.bytes += size
	return &n
}

func (c *nodeCache) drop(n *baremetal.Node) {
	delete(c.nodes, n.ID)
	c.bytes -= sizeOf(n)
}

// sizeOf is about what a node takes in memory.
func sizeOf(n *baremetal.Node) int {
	const fixed = 2048 // the struct, its map of interfaces, short texts
	size := fixed + len(n.Description) + len(n.LastError) + len(n.MaintenanceReason) + len(n.ProtectedReason) + len(n.RetiredReason)
	for _, o := range []baremetal.Object{n.DriverInfo, n.DriverInternalInfo, n.Properties, n.Extra, n.InstanceInfo, n.NetworkData,
		n.RAIDConfig, n.TargetRAIDConfig, n.CleanStep, n.DeployStep, n.ServiceStep, n.Work.Journal} {
		size += len(o)
	}
	return size
}

// rowVersion is a row as it was at some time.
type rowVersion struct{ id, version int64 }

func versionOf(id, version any) (at rowVersion) {
	at.id, _ = id.(int64)
	at.version, _ = version.(int64)
	return at
}

const selectVersion = "SELECT id, version FROM nodes"

// fewMissing is how many nodes of a list are read one by one; with more of them
// missing the list is read as a whole.
const fewMissing = 20

// versions lists the rows of a selection, in order.
func (s *Store) versions(ctx context.Context, sel *selection) (list []rowVersion, err error) {
	rows, err := s.read.query(ctx, selectVersion+sel.text(), sel.args...)
	if err != nil {
		return nil, err
	}
	defer closeRows(rows, &err)
	var id, version any // the driver's own type: nothing is converted
	for rows.Next() {
		if err := rows.Scan(&id, &version); err != nil {
			return nil, err
		}
		list = append(list, versionOf(id, version))
	}
	return list, rows.Err()
}

// remembered returns the nodes of a list from memory. It is nil if too many are
// not there, or if one has changed since: the list is one moment's.
func (s *Store) remembered(ctx context.Context, list []rowVersion) ([]*baremetal.Node, error) {
	nodes := make([]*baremetal.Node, 0, len(list))
	missing := 0
	for _, at := range list {
		n := s.nodes.get(at)
		if n == nil {
			if missing++; missing > fewMissing {
				return nil, nil
			}
			read, err := oneNode(ctx, s.read, "", selectNode+" WHERE id = $1", at.id)
			switch {
			case baremetal.IsKind(err, baremetal.NotFound):
				return nil, nil
			case err != nil:
				return nil, err
			}
			if n = s.nodes.put(read); n.Work.Version != at.version {
				return nil, nil
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}
