package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// memoryTarget is the bound on RSS with everything on and 1,000 nodes.
const memoryTarget = 64 << 20

// api measures `serve` with everything on: as people are told to run it
// (synchronous=full), and what the other setting of SQLite would give.
func (b *bench) api(ctx context.Context) error {
	for _, synchronous := range []string{"full", "normal"} {
		if err := b.apiWith(ctx, synchronous); err != nil {
			return fmt.Errorf("synchronous=%s: %w", synchronous, err)
		}
	}
	return nil
}

func (b *bench) apiWith(ctx context.Context, synchronous string) (err error) {
	s, err := b.serve(ctx, serving{synchronous: synchronous})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	empty, err := s.resident()
	if err != nil {
		return err
	}
	e, err := s.enrol(ctx, b.nodes)
	if err != nil {
		return err
	}
	b.creates(synchronous, e)
	full, err := s.resident()
	if err != nil {
		return err
	}
	if synchronous == "full" { // reads do not depend on it
		if err := b.reads(ctx, s, e.uuids[b.nodes/2]); err != nil {
			return err
		}
	}
	if err := b.fakePower(ctx, s, synchronous, e.uuids); err != nil {
		return err
	}
	if err := b.lifecycle(ctx, s, synchronous, e.uuids); err != nil {
		return err
	}
	if synchronous != "full" {
		return nil
	}
	worked, err := s.resident()
	if err != nil {
		return err
	}
	b.table.add(row{
		what:   fmt.Sprintf("memory (RSS), `serve` with all roles: empty / %d nodes / after all these measurements", b.nodes),
		ironic: "484 / 499 MiB (all-in-one with SQLite: 135 / 162)", target: "≤ 64 MiB with 1,000 nodes",
		seen: fmt.Sprintf("%s / %s / %s", mebibytes(empty), mebibytes(full), mebibytes(worked)),
		met:  met(max(full, worked) <= memoryTarget),
	})
	return nil
}

func (b *bench) creates(synchronous string, e enrolled) {
	b.table.add(row{
		what:   "create a node, synchronous=" + synchronous,
		ironic: "15–16.5 ms CPU; 59/s one by one, 101–126/s by 8", target: "≤ 0.3 ms CPU (50× less)",
		seen: fmt.Sprintf("%s CPU, %.0f/s one by one; %s CPU, %.0f/s by 8", short(e.one.each()), e.one.rate(), short(e.eight.each()), e.eight.rate()),
		met:  met(e.one.each() <= 300*time.Microsecond), others: max(e.one.others, e.eight.others),
	})
}

// read is a request whose cost is known of Ironic.
type read struct {
	path, what, ironic, target string
	limit                      time.Duration // CPU
}

func (b *bench) reads(ctx context.Context, s *server, uuid string) error {
	for _, r := range []read{
		{"/", "`GET /`", "0.39–0.48 ms CPU; 1,807/s, 3,896/s", "≤ 0.039 ms CPU (10×)", 39 * time.Microsecond},
		{"/v1/nodes/" + uuid, "`GET /v1/nodes/{id}`", "5.8–6.1 ms CPU; 157/s, 326/s", "≤ 0.116 ms CPU (50×)", 116 * time.Microsecond},
		{"/v1/nodes?limit=1000", "`GET /v1/nodes?limit=1000`", "184–228 ms CPU; 5.5/s, 10.8/s (372 kB)", "≤ 7.36 ms CPU (25×), goal 1.84 (100×)", 7360 * time.Microsecond},
		{"/v1/nodes/detail?limit=100", "`GET /v1/nodes/detail?limit=100`", "40–43 ms CPU; 22.7/s, 48.8/s (259 kB)", "≤ 1.6 ms CPU (25×), goal 0.4 (100×)", 1600 * time.Microsecond},
	} {
		if err := b.read(ctx, s, r); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) read(ctx context.Context, s *server, r read) error {
	var size int
	request := func(c *client) error {
		status, reply, err := c.do(http.MethodGet, r.path, nil)
		if err == nil && status != http.StatusOK && status != http.StatusMultipleChoices {
			err = fmt.Errorf("GET %s: answered with %d: %s", r.path, status, reply)
		}
		return err
	}
	if err := s.each(ctx, 1, func(_ int, c *client) error {
		err := request(c)
		size = len(c.reply)
		return err
	}); err != nil {
		return err
	}
	if _, err := s.load(ctx, 4, b.each/4, request); err != nil { // warm
		return err
	}
	one, err := s.load(ctx, 1, b.each, request)
	if err != nil {
		return err
	}
	many, err := s.load(ctx, 16, b.each, request)
	if err != nil {
		return err
	}
	b.table.add(row{
		what: fmt.Sprintf("%s (%s)", r.what, bytesText(size)), ironic: r.ironic, target: r.target,
		seen: fmt.Sprintf("%s CPU, %.0f/s at 1 client; %s CPU, %.0f/s at 16", short(one.each()), one.rate(), short(many.each()), many.rate()),
		met:  met(one.each() <= r.limit), others: max(one.others, many.others),
	})
	return nil
}

func bytesText(n int) string {
	if n < 10_000 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1000)
}
