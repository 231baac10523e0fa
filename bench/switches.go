package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"caddyshack/drivers/switches"
)

// The switches that are measured, in this process and in memory.
const (
	switchPorts  = 48
	switchFleet  = 100
	switchRounds = 50
)

// rackSwitch makes a switch of 48 ports for caddies and an uplink.
func rackSwitch(n int) (*switches.Switch, error) {
	d := switches.Description{Kind: "memory", Capabilities: switches.Capabilities{PortIsolation: true}, Ports: []switches.Port{{Name: "up"}}}
	for p := range switchPorts {
		d.Ports = append(d.Ports, switches.Port{Name: strconv.Itoa(p + 1)})
	}
	m := switches.NewMemory(d, map[string]switches.PortState{"up": {Tagged: switches.VLANRange(2, switches.LastVLAN)}})
	return switches.New(switches.Config{ID: fmt.Sprintf("02:00:00:00:00:%02x", n), Uplinks: []string{"up"}}, m)
}

// rackWanted is each port in a VLAN of its own.
func rackWanted(first int) switches.Wanted {
	w := switches.Wanted{Ports: map[string]switches.PortConfig{}}
	for p := range switchPorts {
		w.Ports[strconv.Itoa(p+1)] = switches.Access(first + p)
	}
	return w
}

// switches measures moves of ports and the comparison of a fleet.
func (b *bench) switches(ctx context.Context) error {
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	s, err := rackSwitch(0)
	if err != nil {
		return err
	}
	var one, all samples
	for i := range switchRounds {
		begin := time.Now()
		if _, err := s.Apply(ctx, switches.Only("1", switches.Access(2+i%2))); err != nil {
			return err
		}
		one = append(one, time.Since(begin))
		begin = time.Now()
		if _, err := s.Apply(ctx, rackWanted(100+i%2*switchPorts)); err != nil {
			return err
		}
		all = append(all, time.Since(begin))
	}
	scan, err := scanFleet(ctx)
	if err != nil {
		return err
	}
	others, err := around.others()
	if err != nil {
		return err
	}
	b.table.add(row{what: "switch in memory: move one port to another VLAN, confirmed by read-back (10 ms of it are for frames in queues)", seen: one.String(), met: noTarget, others: others})
	b.table.add(row{what: "the same with 48 ports at once", seen: all.String(), met: noTarget, others: others})
	b.table.add(row{what: "compare 100 switches in memory, of 48 ports each, with what is wanted", seen: scan.String(), met: noTarget, others: others})
	return nil
}

// scanFleet times looks at all switches, all at once, that find nothing wrong.
func scanFleet(ctx context.Context) (samples, error) {
	var fleet []*switches.Switch
	wanted := rackWanted(100)
	for n := range switchFleet {
		s, err := rackSwitch(n)
		if err != nil {
			return nil, err
		}
		if _, err := s.Apply(ctx, wanted); err != nil {
			return nil, err
		}
		fleet = append(fleet, s)
	}
	all, err := switches.NewFleet(fleet...)
	if err != nil {
		return nil, err
	}
	d := &switches.Drift{Fleet: all, Log: slog.New(slog.DiscardHandler),
		Intent: func(context.Context, string) (switches.Wanted, error) { return wanted, nil }}
	var times samples
	for range switchRounds {
		begin := time.Now()
		var looks sync.WaitGroup
		for _, s := range fleet {
			looks.Go(func() { d.Check(ctx, s) })
		}
		looks.Wait()
		times = append(times, time.Since(begin))
	}
	for _, st := range d.States() {
		if st.Error != "" || st.Found != 0 {
			return nil, fmt.Errorf("switch %s: %+v", st.Switch, st)
		}
	}
	return times, nil
}
