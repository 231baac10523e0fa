package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// largeFleet is the number of nodes beside -nodes at which the cost is seen.
	largeFleet = 10_000
	// crowdSize is the number of clients at once.
	crowdSize = 1000
)

// growing are the requests whose cost at two sizes of the fleet is compared.
// UUID stands for a node in the middle.
func growing() []struct{ what, path string } {
	return []struct{ what, path string }{
		{"`GET /v1/nodes/{id}`", "/v1/nodes/UUID"},
		{"by name", "/v1/nodes/node-500"},
		{"`?limit=100`", "/v1/nodes?limit=100"},
		{"the page after the middle, `?limit=100&marker=…`", "/v1/nodes?limit=100&marker=UUID"},
		{"`?limit=1000`", "/v1/nodes?limit=1000"},
		{"`/detail?limit=100`", "/v1/nodes/detail?limit=100"},
		{"`?instance_uuid=…` (none has it)", "/v1/nodes?instance_uuid=6bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111"},
		{"`?provision_state=available` (none is)", "/v1/nodes?provision_state=available"},
		{"`?resource_class=baremetal&provision_state=enroll&limit=100` (all are)", "/v1/nodes?resource_class=baremetal&provision_state=enroll&limit=100"},
		{"`?sort_key=name&limit=100`", "/v1/nodes?sort_key=name&limit=100"},
		{"`?sort_key=updated_at&sort_dir=desc&limit=100`", "/v1/nodes?sort_key=updated_at&sort_dir=desc&limit=100"},
		{"`?description_contains=x`", "/v1/nodes?description_contains=x"},
		{"a node's ports", "/v1/ports?node=UUID"},
		{"a port by its address", "/v1/ports?address=52:54:00:00:01:f4"},
		{"`/v1/shards`", "/v1/shards"},
	}
}

// scale measures the same requests with few nodes and with many, and a crowd of
// clients with many.
func (b *bench) scale(ctx context.Context) error {
	seen := map[string][]cost{}
	var creates []cost
	var memory []int64
	for _, count := range []int{b.nodes, largeFleet} {
		err := func() (err error) {
			s, err := b.serve(ctx, serving{synchronous: "full"})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.stop()) }()
			e, err := s.enrol(ctx, count)
			if err != nil {
				return err
			}
			creates = append(creates, e.eight)
			for _, g := range growing() {
				c, err := s.growth(ctx, strings.ReplaceAll(g.path, "UUID", e.uuids[count/2]), b.each/3)
				if err != nil {
					return err
				}
				seen[g.what] = append(seen[g.what], c)
			}
			resident, err := s.resident()
			if err != nil {
				return err
			}
			memory = append(memory, resident)
			if count != largeFleet {
				return nil
			}
			return b.crowd(ctx, s, e.uuids)
		}()
		if err != nil {
			return fmt.Errorf("%d nodes: %w", count, err)
		}
	}
	sizes := fmt.Sprintf(", %d → %d nodes", b.nodes, largeFleet)
	for _, g := range growing() {
		few, many := seen[g.what][0], seen[g.what][1]
		b.table.add(row{what: g.what + sizes, seen: grown(few, many), met: noTarget, others: max(few.others, many.others)})
	}
	b.table.add(row{what: "create a node, by 8, synchronous=full" + sizes, seen: grown(creates[0], creates[1]), met: noTarget,
		others: max(creates[0].others, creates[1].others)})
	b.table.add(row{what: "memory (RSS) after these requests" + sizes, seen: mebibytes(memory[0]) + " → " + mebibytes(memory[1]), met: noTarget})
	return nil
}

func grown(few, many cost) string {
	return fmt.Sprintf("%s → %s CPU (%.1f times)", short(few.each()), short(many.each()), float64(many.each())/float64(max(few.each(), 1)))
}

// growth is the cost of a read for one client.
func (s *server) growth(ctx context.Context, path string, lasts time.Duration) (cost, error) {
	request := func(c *client) error { return c.get(path, nil) }
	if _, err := s.spread(ctx, 1, 3, func(c *client, _ int) error { return request(c) }); err != nil { // warm
		return cost{}, err
	}
	return s.load(ctx, 1, lasts, request)
}

// crowd lets many clients ask at once: mostly for a node, some for a list, and
// a few change one. What is not answered with 2xx counts as an error.
func (b *bench) crowd(ctx context.Context, s *server, uuids []string) error {
	var mu sync.Mutex
	var all samples
	var failures atomic.Int64
	var firstFailure atomic.Pointer[string]
	end := time.Now().Add(4 * b.each)
	cost, err := s.measure(func() (int, error) {
		err := s.each(ctx, crowdSize, func(n int, c *client) error {
			var times samples
			for i := n; ctx.Err() == nil && time.Now().Before(end); i++ {
				begin := time.Now()
				if err := c.crowdRequest(i, uuids[(i*7919)%len(uuids)]); err != nil {
					failures.Add(1)
					text := err.Error()
					firstFailure.CompareAndSwap(nil, &text)
				}
				times = append(times, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			return ctx.Err()
		})
		return len(all), err
	})
	if err != nil {
		return err
	}
	resident, err := s.resident()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%.0f/s; median %s, 99 %% within %s; %d errors of %d; %s CPU each; memory (RSS) %s", cost.rate(), short(all.at(0.5)), short(all.at(0.99)),
		failures.Load(), cost.requests, short(cost.each()), mebibytes(resident))
	if first := firstFailure.Load(); first != nil {
		text += "; the first: " + *first
	}
	b.table.add(row{what: fmt.Sprintf("%d clients at once, %d nodes: 90 %% show a node, 9 %% list 100, 1 %% change one, synchronous=full", crowdSize, largeFleet),
		seen: text, met: noTarget, others: cost.others})
	return nil
}

func (c *client) crowdRequest(i int, uuid string) error {
	switch {
	case i%100 == 0:
		return c.want(http.StatusOK, http.MethodPatch, "/v1/nodes/"+uuid,
			[]map[string]any{{"op": "add", "path": "/extra/seen", "value": strconv.Itoa(i)}}, nil)
	case i%100 < 10:
		return c.get("/v1/nodes?limit=100", nil)
	}
	return c.get("/v1/nodes/"+uuid, nil)
}
