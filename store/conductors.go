package store

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"caddyshack/baremetal"
)

// heartbeats keeps the times of heartbeats on SQLite, where only this process
// can have sent them: a quiet chassis writes nothing.
type heartbeats struct {
	mu   sync.Mutex
	last map[string]beat
}

type beat struct {
	row conductorRow
	at  time.Time
}

// conductorRow is what a heartbeat says besides that the conductor is alive.
type conductorRow struct {
	group, places, drivers, bootID string
	alive                          bool
}

func newHeartbeats() *heartbeats { return &heartbeats{last: map[string]beat{}} }

// repeated notes a heartbeat and tells whether it says what the last one said.
func (h *heartbeats) repeated(hostname string, row conductorRow, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, ok := h.last[hostname]
	if ok && old.row == row {
		h.last[hostname] = beat{row, at}
		return true
	}
	return false
}

func (h *heartbeats) put(hostname string, row conductorRow, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[hostname] = beat{row, at}
}

func (h *heartbeats) at(hostname string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[hostname].at
}

const selectConductor = "SELECT hostname, conductor_group, places, drivers, boot_id, alive, created_at, updated_at FROM conductors"

func noConductor(hostname string) error {
	return baremetal.Errorf(baremetal.NotFound, "Conductor %s could not be found.", hostname)
}

// Heartbeat records that a conductor lives (or, with Alive false, that it says
// goodbye) and what it serves. It sets CreatedAt and UpdatedAt.
func (s *Store) Heartbeat(ctx context.Context, c *baremetal.Conductor) error {
	now, err := s.Now(ctx)
	if err != nil {
		return s.fault(err)
	}
	places, err := json.Marshal(c.Places)
	if err != nil {
		return err
	}
	drivers, err := json.Marshal(c.Drivers)
	if err != nil {
		return err
	}
	row := conductorRow{c.ConductorGroup, string(places), string(drivers), c.BootID, c.Alive}
	single := s.cfg.PostgresURL == ""
	if single && s.beats.repeated(c.Hostname, row, now) {
		c.UpdatedAt = now
		return nil
	}
	var created int64
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		_, err := queryRow(ctx, tx, []any{&created}, `INSERT INTO conductors
			(hostname, conductor_group, places, drivers, boot_id, alive, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
			ON CONFLICT (hostname) DO UPDATE SET conductor_group = excluded.conductor_group, places = excluded.places,
			drivers = excluded.drivers, boot_id = excluded.boot_id, alive = excluded.alive, updated_at = excluded.updated_at
			RETURNING created_at`,
			c.Hostname, row.group, row.places, row.drivers, row.bootID, flag(row.alive), micros(now))
		return err
	})
	if err != nil {
		return err
	}
	s.beats.put(c.Hostname, row, now)
	c.CreatedAt, c.UpdatedAt = fromMicros(created), now
	return nil
}

func (s *Store) scanConductor(scan func(dest ...any) error, c *baremetal.Conductor, now time.Time) error {
	var places, drivers string
	var created, updated int64
	if err := scan(&c.Hostname, &c.ConductorGroup, &places, &drivers, &c.BootID, &c.Alive, &created, &updated); err != nil {
		return err
	}
	c.CreatedAt, c.UpdatedAt = fromMicros(created), fromMicros(updated)
	if s.cfg.PostgresURL == "" {
		if at := s.beats.at(c.Hostname); at.After(c.UpdatedAt) {
			c.UpdatedAt = at
		}
	}
	c.Alive = c.Alive && now.Sub(c.UpdatedAt) < s.cfg.ConductorTimeout
	if err := json.Unmarshal([]byte(places), &c.Places); err != nil {
		return err
	}
	return json.Unmarshal([]byte(drivers), &c.Drivers)
}

// Conductors lists conductors, by name unless sorted otherwise; limit 0 is no limit.
// Alive is whether the last heartbeat said so and is young enough.
func (s *Store) Conductors(ctx context.Context, p baremetal.Page) ([]baremetal.Conductor, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, s.fault(err)
	}
	pages := paging{table: "conductors", id: "hostname", mark: "hostname", missing: noConductor,
		sortable: map[string]string{"id": "hostname", "hostname": "hostname", "conductor_group": "conductor_group", "alive": "alive",
			"created_at": "created_at", "updated_at": "updated_at"}}
	sel := &selection{}
	if err := sel.page(ctx, s.read, pages, p); err != nil {
		return nil, s.fault(err)
	}
	return list(ctx, s, selectConductor+sel.text(), sel.args, func(row scanner, c *baremetal.Conductor) error {
		return s.scanConductor(row.Scan, c, now)
	})
}

// Conductor returns the conductor of that host.
func (s *Store) Conductor(ctx context.Context, hostname string) (c baremetal.Conductor, err error) {
	now, err := s.Now(ctx)
	if err != nil {
		return c, s.fault(err)
	}
	found, err := s.firstConductor(ctx, hostname, &c, now)
	if err == nil && !found {
		err = noConductor(hostname)
	}
	return c, s.fault(err)
}

func (s *Store) firstConductor(ctx context.Context, hostname string, c *baremetal.Conductor, now time.Time) (bool, error) {
	all, err := list(ctx, s, selectConductor+" WHERE hostname = $1", []any{hostname}, func(row scanner, c *baremetal.Conductor) error {
		return s.scanConductor(row.Scan, c, now)
	})
	if err != nil || len(all) == 0 {
		return false, err
	}
	*c = all[0]
	return true, nil
}

// Shards maps each shard to its number of nodes, "" for those without one.
func (s *Store) Shards(ctx context.Context) (map[string]int, error) {
	type count struct {
		shard string
		nodes int
	}
	all, err := list(ctx, s, "SELECT shard, COUNT(*) FROM nodes GROUP BY shard", nil, func(row scanner, c *count) error {
		return row.Scan(&c.shard, &c.nodes)
	})
	shards := make(map[string]int, len(all))
	for _, c := range all {
		shards[c.shard] = c.nodes
	}
	return shards, err
}
