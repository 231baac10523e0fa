package apitest

import (
	"context"
	"slices"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// collection keeps one kind of resource in memory, without the rules of nodes.
type collection[T any] struct {
	mu    sync.Mutex
	what  string
	items []T
	// ident points to the uuid and, for a kind with names, the name.
	ident func(*T) (uuid, name *string)
	// created points to the time of creation.
	created func(*T) *time.Time
}

func (c *collection[T]) at(ident string) (int, error) {
	i := slices.IndexFunc(c.items, func(t T) bool {
		uuid, name := c.ident(&t)
		return *uuid == ident || name != nil && *name != "" && *name == ident
	})
	if i < 0 {
		return 0, notFound(c.what, ident)
	}
	return i, nil
}

// One implements baremetal.Collection.
func (c *collection[T]) One(_ context.Context, ident string) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.at(ident)
	if err != nil {
		var none T
		return none, err
	}
	return c.items[i], nil
}

// List implements baremetal.Collection; it knows no filters.
func (c *collection[T]) List(_ context.Context, q baremetal.Query) ([]T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*T
	for i := range c.items {
		all = append(all, &c.items[i])
	}
	id := func(t *T) string { uuid, _ := c.ident(t); return *uuid }
	found, err := page(all, q.Page, id, func(t *T, _ string) string { return id(t) })
	return values(found), err
}

// Create implements baremetal.Collection.
func (c *collection[T]) Create(_ context.Context, t *T, check func(*T, *baremetal.Node) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	uuid, name := c.ident(t)
	if *uuid == "" {
		*uuid = baremetal.NewUUID()
	}
	for _, ident := range []*string{uuid, name} {
		if ident == nil || *ident == "" {
			continue
		}
		if _, err := c.at(*ident); err == nil {
			return baremetal.Errorf(baremetal.Conflict, "%s %s already exists.", c.what, *ident)
		}
	}
	if check != nil {
		if err := check(t, &baremetal.Node{}); err != nil {
			return err
		}
	}
	*c.created(t) = time.Now()
	c.items = append(c.items, *t)
	return nil
}

// Update implements baremetal.Collection.
func (c *collection[T]) Update(_ context.Context, ident string, change func(*T, *baremetal.Node) error) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.at(ident)
	if err != nil {
		var none T
		return none, err
	}
	t := c.items[i]
	if err := change(&t, &baremetal.Node{}); err != nil {
		return t, err
	}
	c.items[i] = t
	return t, nil
}

// Delete implements baremetal.Collection.
func (c *collection[T]) Delete(_ context.Context, ident string, check func(*T, *baremetal.Node) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.at(ident)
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(&c.items[i], &baremetal.Node{}); err != nil {
			return err
		}
	}
	c.items = slices.Delete(c.items, i, i+1)
	return nil
}

// collections are the resources the twin keeps beside nodes, ports and chassis.
type collections struct {
	portgroups  collection[baremetal.Portgroup]
	connectors  collection[baremetal.VolumeConnector]
	targets     collection[baremetal.VolumeTarget]
	templates   collection[baremetal.DeployTemplate]
	runbooks    collection[baremetal.Runbook]
	rules       collection[baremetal.InspectionRule]
	allocations collection[baremetal.Allocation]
}

func newCollections() *collections {
	c := &collections{}
	c.portgroups.what, c.portgroups.ident = "Portgroup", func(p *baremetal.Portgroup) (uuid, name *string) { return &p.UUID, &p.Name }
	c.portgroups.created = func(p *baremetal.Portgroup) *time.Time { return &p.CreatedAt }
	c.connectors.what, c.connectors.ident = "Volume connector", func(v *baremetal.VolumeConnector) (uuid, name *string) { return &v.UUID, nil }
	c.connectors.created = func(v *baremetal.VolumeConnector) *time.Time { return &v.CreatedAt }
	c.targets.what, c.targets.ident = "Volume target", func(v *baremetal.VolumeTarget) (uuid, name *string) { return &v.UUID, nil }
	c.targets.created = func(v *baremetal.VolumeTarget) *time.Time { return &v.CreatedAt }
	c.templates.what, c.templates.ident = "Deploy template", func(t *baremetal.DeployTemplate) (uuid, name *string) { return &t.UUID, &t.Name }
	c.templates.created = func(t *baremetal.DeployTemplate) *time.Time { return &t.CreatedAt }
	c.runbooks.what, c.runbooks.ident = "Runbook", func(r *baremetal.Runbook) (uuid, name *string) { return &r.UUID, &r.Name }
	c.runbooks.created = func(r *baremetal.Runbook) *time.Time { return &r.CreatedAt }
	c.rules.what, c.rules.ident = "Inspection rule", func(r *baremetal.InspectionRule) (uuid, name *string) { return &r.UUID, nil }
	c.rules.created = func(r *baremetal.InspectionRule) *time.Time { return &r.CreatedAt }
	c.allocations.what, c.allocations.ident = "Allocation", func(a *baremetal.Allocation) (uuid, name *string) { return &a.UUID, &a.Name }
	c.allocations.created = func(a *baremetal.Allocation) *time.Time { return &a.CreatedAt }
	return c
}

// Portgroups implements ironicapi.Store and ironicapi.Conductor.
func (c *collections) Portgroups() baremetal.Collection[baremetal.Portgroup] { return &c.portgroups }

// VolumeConnectors implements ironicapi.Store and ironicapi.Conductor.
func (c *collections) VolumeConnectors() baremetal.Collection[baremetal.VolumeConnector] {
	return &c.connectors
}

// VolumeTargets implements ironicapi.Store and ironicapi.Conductor.
func (c *collections) VolumeTargets() baremetal.Collection[baremetal.VolumeTarget] {
	return &c.targets
}

// DeployTemplates implements ironicapi.Store.
func (c *collections) DeployTemplates() baremetal.Collection[baremetal.DeployTemplate] {
	return &c.templates
}

// Runbooks implements ironicapi.Store.
func (c *collections) Runbooks() baremetal.Collection[baremetal.Runbook] { return &c.runbooks }

// InspectionRules implements ironicapi.Store.
func (c *collections) InspectionRules() baremetal.Collection[baremetal.InspectionRule] {
	return &c.rules
}

// Allocations implements ironicapi.Store and ironicapi.Conductor: no node is looked for.
func (c *collections) Allocations() baremetal.Collection[baremetal.Allocation] {
	return &c.allocations
}

// VIFs implements ironicapi.Conductor: the twin's network keeps none.
func (b *Backend) VIFs(context.Context, string) ([]string, error) { return nil, nil }

// AttachVIF implements ironicapi.Conductor.
func (b *Backend) AttachVIF(context.Context, conductor.Caller, string, conductor.VIFRequest) error {
	return nil
}

// DetachVIF implements ironicapi.Conductor.
func (b *Backend) DetachVIF(context.Context, conductor.Caller, string, string) error { return nil }
