package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

func topic(unit, rest string) string { return bus.Root + "/bpu/" + unit + "/" + rest }

func TestRetainedAndWill(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		url := start("bpu-1")
		c, err := bus.NewClient(bus.ClientConfig{
			Broker: url, ClientID: "bpu-1", User: "bpu-1", Password: bustest.Password("bpu-1"),
			Will: &bus.Message{Topic: topic("bpu-1", "status"), Payload: []byte("offline"), QoS: 1, Retained: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abort()
		if err := c.WaitConnected(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(bustest.Context(t), bus.Message{Topic: topic("bpu-1", "status"), Payload: []byte("online"), QoS: 1, Retained: true}); err != nil {
			t.Fatal(err)
		}
		l := bustest.Listen(t, url, bustest.ControllerUser, bus.Root+"/#")
		if m := l.Next(t); string(m.Payload) != "online" || !m.Retained || m.Topic != topic("bpu-1", "status") {
			t.Fatalf("got %+v", m)
		}
		c.Abort()
		if m := l.Next(t); string(m.Payload) != "offline" || m.Retained {
			t.Fatalf("got %+v", m)
		}
	})
}

func TestReconnectSubscribesAnew(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		url := start("bpu-1")
		connects := make(chan struct{}, 8)
		heard := make(chan string, 8)
		lost := make(chan error, 8)
		c, err := bus.NewClient(bus.ClientConfig{
			Broker: url, ClientID: "bpu-1", User: "bpu-1", Password: bustest.Password("bpu-1"), BackOff: 5 * time.Millisecond,
			Subscriptions: []string{topic("bpu-1", "cmd")},
			OnMessage:     func(m bus.Message) { heard <- string(m.Payload) },
			OnConnect:     func(context.Context) { connects <- struct{}{} },
			OnLost:        func(err error) { lost <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		boss := bustest.Listen(t, url, bustest.ControllerUser)
		wait(t, connects)
		for i := range 3 {
			boss.Send(t, topic("bpu-1", "cmd"), fmt.Sprint("one", i), false)
			if got := wait(t, heard); got != fmt.Sprint("one", i) {
				t.Fatalf("heard %q", got)
			}
			c.Break()
			wait(t, lost)
			wait(t, connects)
		}
	})
}

func TestAccess(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		url := start("bpu-1", "bpu-2")
		boss := bustest.Listen(t, url, bustest.ControllerUser, bus.Root+"/#")
		// Somebody who knows the password of unit 1 alone, listening to everything.
		thief := bustest.Listen(t, url, "bpu-1", topic("bpu-1", "#"), bus.ControllerStatusTopic)
		for _, forged := range []string{
			topic("bpu-2", "slot/1/state"), topic("bpu-2", "slot/1/ack"), topic("bpu-2", "status"),
			bus.ControllerStatusTopic, "elsewhere", bus.Root + "/bpu", bus.Root + "/bpu/bpu-10/status", bus.Root + "/bpu//status",
		} {
			// The broker may answer with a broken connection or with silence.
			ctx := bustest.Context(t)
			_ = thief.WaitConnected(ctx)
			_ = thief.Publish(ctx, bus.Message{Topic: forged, Payload: []byte("forged"), QoS: 0})
		}
		if err := thief.WaitConnected(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		boss.Send(t, topic("bpu-2", "slot/1/cmd"), "not for unit 1", false)
		boss.Send(t, bus.ControllerStatusTopic, "ready", false)
		if m := thief.Next(t); m.Topic != bus.ControllerStatusTopic {
			t.Fatalf("unit 1 hears %+v", m)
		}
		thief.Send(t, topic("bpu-1", "status"), "online", false)
		for {
			m := boss.Next(t)
			if string(m.Payload) == "forged" {
				t.Fatalf("a forged message went through on %q", m.Topic)
			}
			if m.Topic == topic("bpu-1", "status") {
				return
			}
		}
	})
}

func TestUnitCannotSubscribeToOthers(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		url := start("bpu-1", "bpu-2")
		boss := bustest.Listen(t, url, bustest.ControllerUser)
		heard := make(chan bus.Message, 8)
		c, err := bus.NewClient(bus.ClientConfig{
			Broker: url, ClientID: "x", User: "bpu-1", Password: bustest.Password("bpu-1"),
			Subscriptions: []string{"#", bus.Root + "/#", topic("+", "#"), topic("bpu-1", "#")},
			OnMessage:     func(m bus.Message) { heard <- m },
			BackOff:       time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// A broker may refuse the subscription as a whole, or each message.
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		if err := c.WaitConnected(ctx); err != nil {
			if !strings.Contains(err.Error(), "does not let user") {
				t.Fatal(err)
			}
			return
		}
		boss.Send(t, topic("bpu-2", "slot/1/cmd"), "secret", false)
		boss.Send(t, topic("bpu-1", "cmd"), "own", false)
		for own := false; !own; {
			m := wait(t, heard)
			if own = string(m.Payload) == "own"; !own {
				t.Fatalf("heard %+v", m)
			}
		}
	})
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		url := start("bpu-1")
		for _, user := range []string{"bpu-1", "+", "#", ""} {
			c, err := bus.NewClient(bus.ClientConfig{Broker: url, ClientID: "x", User: user, Password: "guess", BackOff: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := withTimeout(t, 300*time.Millisecond)
			if err := c.WaitConnected(ctx); err == nil {
				t.Errorf("user %q comes in with a wrong password", user)
			}
			cancel()
			c.Close()
		}
	})
}

func TestBrokerRefusesBadUsers(t *testing.T) {
	t.Parallel()
	for _, u := range []bus.User{{}, {Name: "+", Password: "x"}, {Name: "#", Password: "x"}, {Name: "a/b", Password: "x"},
		{Name: "a.b", Password: "x"}, {Name: ">", Password: "x"}, {Name: "*", Password: "x"}, {Name: "bpu-1"}} {
		if b, err := bus.StartBroker(bus.BrokerConfig{Users: []bus.User{u}}); err == nil {
			b.Close()
			t.Errorf("user %+v is accepted", u)
		}
	}
	if b, err := bus.StartBroker(bus.BrokerConfig{}); err == nil {
		b.Close()
		t.Error("a broker without users starts")
	}
}

func TestBrokerPortTaken(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = bus.StartBroker(bus.BrokerConfig{Listen: l.Addr().String(), Users: bustest.Users()})
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("error %v", err)
	}
}

func TestBrokerKeepsRetainedInStoreDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 {
		b, err := bus.StartBroker(bus.BrokerConfig{Users: bustest.Users(), StoreDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		l := bustest.Listen(t, b.URL(), bustest.ControllerUser, bus.Root+"/#")
		if i == 0 {
			l.Send(t, topic("bpu-1", "status"), "online", true)
		}
		// The broker stores a retained message a moment after it has confirmed it.
		for kept := false; !kept; {
			select {
			case m := <-l.Heard:
				kept = m.Retained && string(m.Payload) == "online"
			case <-time.After(20 * time.Millisecond):
				if err := l.Resubscribe(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		l.Close()
		b.Close()
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
}

func TestPublishWithoutConnection(t *testing.T) {
	t.Parallel()
	c, err := bus.NewClient(bus.ClientConfig{Broker: "tcp://127.0.0.1:1", ClientID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Publish(t.Context(), bus.Message{Topic: "x"}); !errors.Is(err, bus.ErrNotConnected) {
		t.Fatalf("error %v", err)
	}
	for _, bad := range []string{"", "localhost:1883", "http://x", "tcp://"} {
		if _, err := bus.NewClient(bus.ClientConfig{Broker: bad, ClientID: "x"}); err == nil {
			t.Errorf("broker address %q is accepted", bad)
		}
	}
}

// What comes while other clients are cut off arrives: each one's will, and what others publish meanwhile.
func TestNothingIsLostWhenClientsGo(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		const rounds = 5
		units := make([]string, 16)
		for i := range units {
			units[i] = fmt.Sprintf("bpu-%d", i)
		}
		url := start(units...)
		boss := bustest.Listen(t, url, bustest.ControllerUser, topic("+", "status"), topic("+", "info"), topic("+", "telemetry"),
			topic("+", "slot/+/state"), topic("+", "slot/+/ack"), topic("+", "slot/+/event"), bus.Root+"/ping")
		for round := range rounds {
			want := map[string]bool{}
			var clients []*bus.Client
			for _, u := range units {
				will := fmt.Sprintf("%s gone %d", u, round)
				want[will] = true
				c, err := bus.NewClient(bus.ClientConfig{
					Broker: url, ClientID: u, User: u, Password: bustest.Password(u), BackOff: 10 * time.Millisecond,
					Will:          &bus.Message{Topic: topic(u, "status"), Payload: []byte(will), QoS: 1},
					Subscriptions: []string{topic(u, "cmd"), topic(u, "slot/+/cmd")},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Abort()
				clients = append(clients, c)
			}
			for _, c := range clients {
				if err := c.WaitConnected(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
			}
			for i, c := range clients {
				go c.Abort()
				said := fmt.Sprintf("said %d in %d", i, round)
				want[said] = true
				boss.Send(t, bus.Root+"/ping", said, false)
			}
			for len(want) > 0 {
				m := boss.Next(t)
				delete(want, string(m.Payload))
			}
		}
	})
}
