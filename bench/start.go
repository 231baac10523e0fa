package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const starts = 15

// start measures from the start of the process to the first answer, on an
// empty state and on one with nodes.
func (b *bench) start(ctx context.Context) error {
	dir, err := os.MkdirTemp(b.dir, "start-")
	if err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	config, err := configure(dir, serving{synchronous: "full", api: addr})
	if err != nil {
		return err
	}
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	var first, again samples
	for i := range 2*starts + 1 {
		took, err := b.startOnce(ctx, dir, config, addr, i == starts)
		if err != nil {
			return err
		}
		switch {
		case i == 0: // makes the database
			first = append(first, took)
		case i > starts:
			again = append(again, took)
		case i < starts:
			if err := os.RemoveAll(dir + "/state"); err != nil {
				return err
			}
			first = append(first, took)
		}
	}
	others, err := around.others()
	b.table.add(row{
		what:   fmt.Sprintf("start to first answer, `serve` with all roles: new state / %d nodes, synchronous=full", b.nodes),
		ironic: "2.6 s", target: "≤ 0.25 s",
		seen: fmt.Sprintf("%s / %s", first, again), met: met(max(first.at(0.5), again.at(0.5)) <= 250*time.Millisecond), others: others,
	})
	return err
}

// startOnce starts the program, asks until it answers, and stops it; enrol fills it before.
func (b *bench) startOnce(ctx context.Context, dir, config, addr string, enrol bool) (took time.Duration, err error) {
	s, err := b.launch(ctx, dir, "serve", "--config", config)
	if err != nil {
		return 0, err
	}
	s.addr = addr
	defer func() { err = errors.Join(err, s.stop()) }()
	for {
		if c, err := dial(ctx, addr); err == nil {
			status, _, err := c.do(http.MethodGet, "/v1", nil)
			c.close()
			if err == nil && status == http.StatusOK {
				took = time.Since(s.began)
				break
			}
		}
		select {
		case <-s.ended:
			return 0, fmt.Errorf("the program ended at its start; it wrote:\n%s", s.lastWords())
		case <-time.After(500 * time.Microsecond):
		}
		if time.Since(s.began) > startLimit {
			return 0, fmt.Errorf("no answer within %s; the program wrote:\n%s", startLimit, s.lastWords())
		}
	}
	if enrol {
		_, err = s.enrol(ctx, b.nodes)
	}
	return took, err
}

// freeAddr is an address of loopback that nobody listens on now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
