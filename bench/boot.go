package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// bootCaddies is the chassis that has thirteen Pis: the twelfth and the
// thirteenth caddy are none.
const bootCaddies = 15

func bootNames() []string {
	var names []string
	for n := 1; n <= bootCaddies; n++ {
		if n != 12 && n != 13 {
			names = append(names, caddyName(n))
		}
	}
	return names
}

// boots measures how long virtual Pis take from power-on to their prompt, as
// the boot log of the program tells.
func (b *bench) boots(ctx context.Context) (err error) {
	s, err := b.demo(ctx, bootCaddies)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	names := bootNames()
	if err := s.each(ctx, len(names), func(n int, c *client) error {
		_, err := c.bring(ctx, names[n], "active")
		return err
	}); err != nil {
		return err
	}
	return b.bootAll(ctx, s, names, "a virtual Pi (boot files over TFTP, root over NFS)", 10*time.Millisecond)
}

// guests does the same with Pis that are computers in QEMU, and run the real
// kernel and system. The program sees their prompts on their consoles.
func (b *bench) guests(ctx context.Context) (err error) {
	s, err := b.demo(ctx, bootCaddies, "--pi", "qemu")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	names := bootNames()
	if err := s.each(ctx, 1, func(_ int, c *client) error {
		for _, name := range names { // one after another, as each deploy has its deadlines
			if _, err := c.bring(ctx, name, "active"); err != nil {
				return err
			}
			if err := c.put("/v1/nodes/"+name+"/states/console", map[string]any{"enabled": true}); err != nil {
				return err
			}
			if _, err := c.power(ctx, name, "power off"); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return b.bootAll(ctx, s, names, "a Pi in QEMU (the real kernel and system, emulated)", 100*time.Millisecond)
}

// bootAll boots one machine alone, and then all at once. It asks the program
// every so often how far each is.
func (b *bench) bootAll(ctx context.Context, s *server, names []string, what string, every time.Duration) error {
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	var alone samples
	if err := s.each(ctx, 1, func(_ int, c *client) error {
		for range 5 {
			took, err := c.boot(ctx, names[0], every)
			if err != nil {
				return err
			}
			alone = append(alone, took)
		}
		return nil
	}); err != nil {
		return err
	}
	together := make(samples, len(names))
	if err := s.each(ctx, len(names), func(n int, c *client) (err error) {
		together[n], err = c.boot(ctx, names[n], every)
		return err
	}); err != nil {
		return err
	}
	// The time of guests counts as the program's once they have ended.
	if err := s.each(ctx, len(names), func(n int, c *client) error {
		_, err := c.power(ctx, names[n], "power off")
		return err
	}); err != nil {
		return err
	}
	others, err := around.others()
	b.table.add(row{what: "power-on to prompt of " + what, seen: alone.String(), met: noTarget, others: others})
	b.table.add(row{what: fmt.Sprintf("%d at once", len(names)), seen: fmt.Sprintf("median %s, last %s", short(together.at(0.5)), short(together.at(1))), met: noTarget, others: others})
	return err
}

// boot switches a machine off and on and returns when its prompt was there.
func (c *client) boot(ctx context.Context, name string, every time.Duration) (time.Duration, error) {
	type boots struct {
		Boots []struct {
			Start   time.Time            `json:"start"`
			Reached map[string]time.Time `json:"reached"`
		} `json:"boots"`
	}
	if _, err := c.power(ctx, name, "power off"); err != nil {
		return 0, err
	}
	var before boots
	if err := c.get("/v1/nodes/"+name+"/boot_log", &before); err != nil {
		return 0, err
	}
	if _, err := c.power(ctx, name, "power on"); err != nil {
		return 0, err
	}
	for begin := time.Now(); time.Since(begin) < stateLimit && ctx.Err() == nil; time.Sleep(every) {
		var now boots
		if err := c.get("/v1/nodes/"+name+"/boot_log", &now); err != nil {
			return 0, err
		}
		if len(now.Boots) == 0 || len(before.Boots) > 0 && now.Boots[0].Start.Equal(before.Boots[0].Start) {
			continue
		}
		if up, ok := now.Boots[0].Reached["login"]; ok {
			return up.Sub(now.Boots[0].Start), nil
		}
	}
	return 0, errors.Join(ctx.Err(), fmt.Errorf("node %s did not boot", name))
}
