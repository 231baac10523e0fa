package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const caddies, pis = 13, 11

func caddyName(n int) string { return "caddy-" + strconv.Itoa(n) }

// busPower switches the caddies of a demo: API → conductor → MQTT → simulated
// unit → read-back → API.
func (b *bench) busPower(ctx context.Context) (err error) {
	s, err := b.demo(ctx, caddies)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	memory, err := s.resident()
	if err != nil {
		return err
	}
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	var on, off samples
	if err := s.each(ctx, 1, func(_ int, c *client) error {
		for range 6 {
			for n := range caddies {
				took, err := c.power(ctx, caddyName(n+1), "power on")
				if err != nil {
					return err
				}
				on = append(on, took)
				if took, err = c.power(ctx, caddyName(n+1), "power off"); err != nil {
					return err
				}
				off = append(off, took)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	others, err := around.others()
	b.table.add(row{
		what: "power on until `power_state` shows it, over bus and simulated backplane, synchronous=normal", ironic: "–", target: "≤ 50 ms",
		seen: on.String(), met: met(on.at(0.5) <= 50*time.Millisecond), others: others,
	})
	b.table.add(row{what: "the same for power off", target: "≤ 50 ms", seen: off.String(), met: met(off.at(0.5) <= 50*time.Millisecond), others: others})
	b.table.add(row{what: "memory (RSS), `demo` with its simulated chassis of 13 caddies, before anything is asked", seen: mebibytes(memory), met: noTarget})
	return err
}

// bring takes a caddy to a state from any state before it and returns how long
// the last verb took.
func (c *client) bring(ctx context.Context, name string, to string) (time.Duration, error) {
	begin, sent := time.Now(), ""
	last := begin
	for time.Since(begin) < stateLimit && ctx.Err() == nil {
		var n struct {
			State     string `json:"provision_state"`
			LastError string `json:"last_error"`
			Held      string `json:"reservation"`
		}
		if err := c.get("/v1/nodes/"+name+"?fields=provision_state,last_error,reservation", &n); err != nil {
			return 0, err
		}
		if n.State == to && n.Held == "" {
			return time.Since(last), nil
		}
		if n.LastError != "" {
			return 0, fmt.Errorf("node %s: %s", name, n.LastError)
		}
		verb := verbs()[n.State]
		if n.State == "active" {
			verb = "deleted"
		}
		if verb != "" && n.Held == "" && sent != n.State {
			last, sent = time.Now(), n.State
			if err := c.put("/v1/nodes/"+name+"/states/provision", map[string]any{"target": verb}); err != nil {
				return 0, err
			}
		}
		time.Sleep(time.Millisecond)
	}
	return 0, errors.Join(ctx.Err(), fmt.Errorf("node %s did not become %s", name, to))
}

// deploys measures demos that find their image in the user's cache.
func (b *bench) deploys(ctx context.Context) error {
	var first samples // from the start of the program
	for range 3 {
		took, err := b.firstActive(ctx)
		if err != nil {
			return err
		}
		if first = append(first, took); len(first) == 1 && took > 10*time.Second {
			first = nil // it made the image that the later ones find
		}
	}
	b.table.add(row{
		what: "later demo: start of the program to first active caddy", target: "≤ 5 s",
		seen: first.String(), met: met(first.at(0.5) <= 5*time.Second),
	})
	return b.deployAll(ctx)
}

// firstActive starts a demo and deploys one caddy at once.
func (b *bench) firstActive(ctx context.Context) (took time.Duration, err error) {
	s, err := b.demo(ctx, caddies)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	err = s.each(ctx, 1, func(_ int, c *client) error {
		_, err := c.bring(ctx, caddyName(3), "active")
		took = time.Since(s.began)
		return err
	})
	return took, err
}

// deployAll deploys one virtual Pi, several times, and then all of them at once.
func (b *bench) deployAll(ctx context.Context) (err error) {
	s, err := b.demo(ctx, caddies)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	if err := s.each(ctx, pis, func(n int, c *client) error {
		_, err := c.bring(ctx, caddyName(n+1), "available")
		return err
	}); err != nil {
		return err
	}
	var alone samples
	if err := s.each(ctx, 1, func(_ int, c *client) error {
		for range 5 {
			took, err := c.bring(ctx, caddyName(1), "active")
			if err != nil {
				return err
			}
			alone = append(alone, took)
			if _, err := c.bring(ctx, caddyName(1), "available"); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	together := make(samples, pis)
	all, err := s.measure(func() (int, error) {
		return pis, s.each(ctx, pis, func(n int, c *client) (err error) {
			together[n], err = c.bring(ctx, caddyName(n+1), "active")
			return err
		})
	})
	if err != nil {
		return err
	}
	memory, err := s.resident()
	if err != nil {
		return err
	}
	others, err := around.others()
	b.table.add(row{what: "deploy of a virtual Pi over TFTP and NFS, request to active", seen: alone.String(), met: noTarget, others: others})
	b.table.add(row{what: fmt.Sprintf("%d at once", pis), seen: fmt.Sprintf("all after %s; median %s; %s CPU each, simulators included", short(all.took), short(together.at(0.5)), short(all.each())), met: noTarget, others: all.others})
	b.table.add(row{what: fmt.Sprintf("memory (RSS), `demo` with %d virtual Pis running", pis), seen: mebibytes(memory), met: noTarget})
	return err
}

// coldLimit bounds each half of the first demo.
const coldLimit = 15 * time.Minute

// cold does what `make demo` does on a machine that has Go, make and nothing
// else in its caches: build the program, run it, deploy.
func (b *bench) cold(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.dir, "cold-")
	if err != nil {
		return err
	}
	fresh := *b
	fresh.program = filepath.Join(dir, "caddyshack")
	for name, folder := range map[string]string{"GOMODCACHE": "mod", "GOCACHE": "build", "XDG_CACHE_HOME": "user"} {
		old, had := os.LookupEnv(name)
		if err := os.Setenv(name, filepath.Join(dir, folder)); err != nil {
			return err
		}
		defer func() {
			if had {
				err = errors.Join(err, os.Setenv(name, old))
				return
			}
			err = errors.Join(err, os.Unsetenv(name))
		}()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*coldLimit)
	defer cancel()
	defer func() { // modules are read-only files
		clean := exec.CommandContext(context.WithoutCancel(ctx), "go", "clean", "-modcache")
		clean.Env = append(os.Environ(), "GOMODCACHE="+filepath.Join(dir, "mod"))
		err = errors.Join(err, clean.Run())
	}()
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	begin := time.Now()
	build := exec.CommandContext(ctx, "make", "build", "BIN="+fresh.program)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("make build: %w", err)
	}
	built := time.Since(begin)
	active, err := fresh.firstActive(ctx)
	if err != nil {
		return err
	}
	others, err := around.others()
	b.table.add(row{
		what: "first `make demo` with empty caches to the first active caddy", target: "≤ 3 min on 2 cores",
		seen: fmt.Sprintf("%s (%s to build the program, %s to make the image and deploy)", short(built+active), short(built), short(active)),
		met:  met(built+active <= 3*time.Minute), others: others,
	})
	return err
}
