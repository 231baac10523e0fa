package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"caddyshack/bus"
)

// crowd is how many units the broker is tried with: none, a chassis, many. Each
// has three subscriptions.
func crowd() []int { return []int{0, 4, 500} }

// clientLimit bounds each wait for an MQTT client.
const clientLimit = 30 * time.Second

// broker measures a process that is the broker and, since it needs something
// that serves, an idle console service.
func (b *bench) broker(ctx context.Context) (err error) {
	units := crowd()[len(crowd())-1]
	dir, err := os.MkdirTemp(b.dir, "broker-")
	if err != nil {
		return err
	}
	config, err := configure(dir, serving{synchronous: "full", roles: `["broker", "console"]`, units: units})
	if err != nil {
		return err
	}
	around, err := b.machine.watch()
	if err != nil {
		return err
	}
	var starts samples
	for range 10 {
		s, err := b.run(ctx, dir, "serve", "--config", config)
		if err != nil {
			return err
		}
		starts = append(starts, time.Since(s.began))
		if err := s.stop(); err != nil {
			return err
		}
	}
	others, err := around.others()
	if err != nil {
		return err
	}
	b.table.add(row{what: "embedded broker (`serve` with the roles broker and console): start of the process until it is ready", seen: starts.String(), met: noTarget, others: others})

	s, err := b.run(ctx, dir, "serve", "--config", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var clients []*bus.Client
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	seen := ""
	for i, want := range crowd() {
		for len(clients) < want {
			c, err := connectUnit(ctx, s.mqtt, len(clients))
			if err != nil {
				return err
			}
			clients = append(clients, c)
		}
		memory, err := s.resident()
		if err != nil {
			return err
		}
		if i > 0 {
			seen += ", "
		}
		seen += fmt.Sprintf("%s with %d", mebibytes(memory), want)
	}
	b.table.add(row{what: "its memory (RSS) with connected units, each with its retained state", seen: seen, met: noTarget})
	last := len(clients) - 1
	clients[last].Close() // messages takes its place
	clients = clients[:last]
	return b.messages(ctx, s, last)
}

// connectUnit connects as the n-th unit, subscribed to its commands, and
// leaves retained what a unit does.
func connectUnit(ctx context.Context, url string, n int) (*bus.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, clientLimit)
	defer cancel()
	unit := unitName(n)
	status := bus.Topic{Unit: unit, Kind: bus.KindStatus}.String()
	subs := []string{
		bus.Topic{Unit: unit, Kind: bus.KindCommand}.String(), bus.Root + "/bpu/" + unit + "/slot/+/cmd", bus.ControllerStatusTopic,
	}
	c, err := bus.NewClient(bus.ClientConfig{
		Broker: url, ClientID: unit, User: unit, Password: unitPassword(n), Subscriptions: subs,
		Will: &bus.Message{Topic: status, Payload: []byte(bus.Offline), QoS: 1, Retained: true},
	})
	if err != nil {
		return nil, err
	}
	if err := c.WaitConnected(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("connecting unit %s: %w", unit, err)
	}
	retained := map[string][]byte{status: []byte(bus.Online)}
	for slot := range bus.MaxSlots {
		state, err := bus.Encode(bus.State{Power: bus.PowerOff, Want: bus.PowerOff, Type: bus.TypePi, Why: bus.WhyBoot, Seq: 1, Boot: 1})
		if err != nil {
			c.Close()
			return nil, err
		}
		retained[bus.Topic{Unit: unit, Slot: slot + 1, Kind: bus.KindState}.String()] = state
	}
	for topic, payload := range retained {
		if err := c.Publish(ctx, bus.Message{Topic: topic, Payload: payload, QoS: 1, Retained: true}); err != nil {
			c.Close()
			return nil, fmt.Errorf("publishing %s: %w", topic, err)
		}
	}
	return c, nil
}

// messages sends commands one by one from a controller to the n-th unit and waits for each.
func (b *bench) messages(ctx context.Context, s *server, n int) error {
	to := bus.Topic{Unit: unitName(n), Slot: 1, Kind: bus.KindCommand}.String()
	heard := make(chan struct{}, 1)
	listener, err := bus.NewClient(bus.ClientConfig{
		Broker: s.mqtt, ClientID: unitName(n), User: unitName(n), Password: unitPassword(n),
		Subscriptions: []string{to}, OnMessage: func(bus.Message) { heard <- struct{}{} },
	})
	if err != nil {
		return err
	}
	defer listener.Close()
	boss, err := bus.NewClient(bus.ClientConfig{Broker: s.mqtt, ClientID: "bench", User: "controller", Password: controllerPassword})
	if err != nil {
		return err
	}
	defer boss.Close()
	for _, c := range []*bus.Client{listener, boss} {
		cctx, cancel := context.WithTimeout(ctx, clientLimit)
		err := c.WaitConnected(cctx)
		cancel()
		if err != nil {
			return err
		}
	}
	m := bus.Message{Topic: to, Payload: make([]byte, 200), QoS: 1}
	const warm, count = 200, 3000
	var times samples
	cost, err := s.measure(func() (int, error) {
		for i := range warm + count {
			begin := time.Now()
			if err := boss.Publish(ctx, m); err != nil {
				return 0, err
			}
			select {
			case <-heard:
			case <-time.After(clientLimit):
				return 0, fmt.Errorf("a message was not delivered within %s", clientLimit)
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			if i >= warm {
				times = append(times, time.Since(begin))
			}
		}
		return warm + count, nil
	})
	if err != nil {
		return err
	}
	b.table.add(row{
		what: "QoS 1 message of 200 B: publish until it is confirmed and delivered, one after another",
		seen: fmt.Sprintf("%s; %s CPU of the broker's process", times, short(cost.each())), met: noTarget, others: cost.others,
	})
	return nil
}
