package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// cost is what many requests cost together.
type cost struct {
	requests int
	took     time.Duration
	cpu      time.Duration // of the server
	others   float64       // see row
}

// each is the server's CPU time per request.
func (c cost) each() time.Duration {
	if c.requests == 0 {
		return 0
	}
	return c.cpu / time.Duration(c.requests)
}

func (c cost) rate() float64 { return float64(c.requests) / c.took.Seconds() }

// measure runs work, which returns how many requests it made.
func (s *server) measure(work func() (int, error)) (c cost, err error) {
	around, err := s.machine.watch()
	if err != nil {
		return c, err
	}
	before, err := s.cpu()
	if err != nil {
		return c, err
	}
	begin := time.Now()
	if c.requests, err = work(); err != nil {
		return c, err
	}
	c.took = time.Since(begin)
	after, err := s.cpu()
	if err != nil {
		return c, err
	}
	c.cpu = after - before
	c.others, err = around.others()
	return c, err
}

// load repeats a request on that many connections for a time.
func (s *server) load(ctx context.Context, clients int, lasts time.Duration, request func(c *client) error) (cost, error) {
	return s.measure(func() (int, error) {
		end := time.Now().Add(lasts)
		var made atomic.Int64
		err := s.each(ctx, clients, func(_ int, c *client) error {
			n := 0
			defer func() { made.Add(int64(n)) }()
			for ctx.Err() == nil && time.Now().Before(end) {
				if err := request(c); err != nil {
					return err
				}
				n++
			}
			return ctx.Err()
		})
		return int(made.Load()), err
	})
}

// spread runs request for 0 to count-1 on that many connections.
func (s *server) spread(ctx context.Context, clients, count int, request func(c *client, i int) error) (cost, error) {
	return s.measure(func() (int, error) {
		var next atomic.Int64
		return count, s.each(ctx, clients, func(_ int, c *client) error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return nil
				}
				if err := request(c, i); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	})
}

// each runs work on that many connections at once and returns the first error.
func (s *server) each(ctx context.Context, clients int, work func(n int, c *client) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for n := range clients {
		c, err := dial(ctx, s.addr)
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer c.close()
			errs <- work(n, c)
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
