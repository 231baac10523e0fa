//go:build switches

package ovs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/ovs"
	"caddyshack/drivers/switches/ovstest"
	"caddyshack/drivers/switches/packettest"
)

// mortal stands between a controller and Open vSwitch's sockets, and lets it
// die after a number of commands that change something: the last of them is
// carried out, its answer gets lost, and nothing more goes through.
type mortal struct {
	mu    sync.Mutex // guards what follows
	left  int        // commands that still go through; < 0 = dead
	died  chan struct{}
	conns []net.Conn
	stop  []net.Listener
}

// bear makes sockets for a controller with so many commands to live.
func bear(t *testing.T, o *ovstest.OVS, commands int) (*mortal, ovs.Config) {
	t.Helper()
	m := &mortal{left: commands, died: make(chan struct{})}
	front := func(name, behind string) string {
		path := filepath.Join(o.Dir, fmt.Sprintf("%d.%s", commands, name))
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		m.stop = append(m.stop, l)
		go m.serve(l, behind)
		return path
	}
	t.Cleanup(m.die)
	return m, ovs.Config{Bridge: "br0", Address: "unix:" + front("db", strings.TrimPrefix(o.Address, "unix:")), ControlSocket: front("ctl", o.ControlSocket())}
}

func (m *mortal) serve(l net.Listener, behind string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := (&net.Dialer{}).DialContext(context.Background(), "unix", behind)
		if err != nil {
			_ = from.Close()
			continue
		}
		m.mu.Lock()
		m.conns = append(m.conns, from, to)
		m.mu.Unlock()
		answers := make(chan struct{}, 1)
		go m.commands(from, to, answers)
		go m.answers(from, to, answers)
	}
}

// commands hands on what the controller says.
func (m *mortal) commands(from, to net.Conn, last chan<- struct{}) {
	for dec := json.NewDecoder(from); ; {
		var text json.RawMessage
		if dec.Decode(&text) != nil {
			_ = to.Close()
			return
		}
		if m.changes(text) {
			m.mu.Lock()
			m.left--
			if m.left == 0 {
				last <- struct{}{} // the next answer is its
			}
			m.mu.Unlock()
		}
		if _, err := to.Write(text); err != nil {
			return
		}
	}
}

// changes tells whether a message is a command that changes something.
func (m *mortal) changes(text []byte) bool {
	var message struct{ Method string }
	_ = json.Unmarshal(text, &message)
	switch message.Method {
	case "", "echo", "monitor":
		return false
	case "transact":
		return strings.Contains(string(text), `"mutate"`)
	}
	return true // to ovs-vswitchd's control socket
}

// answers hands on what is answered, until that of the last command.
func (m *mortal) answers(from, to net.Conn, last <-chan struct{}) {
	for dec := json.NewDecoder(to); ; {
		var text json.RawMessage
		if dec.Decode(&text) != nil {
			_ = from.Close()
			return
		}
		var message struct{ Method string }
		if _ = json.Unmarshal(text, &message); message.Method == "" {
			select {
			case <-last:
				m.die()
				return
			default:
			}
		}
		if _, err := from.Write(text); err != nil {
			return
		}
	}
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.stop {
		_ = l.Close()
	}
	for _, c := range m.conns {
		_ = c.Close()
	}
	select {
	case <-m.died:
	default:
		close(m.died)
	}
}

func killedSwitch(t *testing.T, c ovs.Config) *switches.Switch {
	t.Helper()
	sw, err := switches.New(switches.Config{ID: "lab", Uplinks: []string{packettest.Uplink}, Timeout: time.Minute}, ovs.New(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	return sw
}

// TestKilledAtEveryStep: the controller dies after each of the commands of a
// move, and the next one, which looks for drift as it always does, brings the
// switch to what is wanted without being asked. Real frames are judged
// throughout, and all that should arrive in the end must.
func TestKilledAtEveryStep(t *testing.T) {
	for name, configs := range map[string][2]map[string]switches.PortConfig{
		"access ports": {
			{"c1": switches.Access(10), "c2": switches.Access(20), "c3": switches.Idle()},
			{"c1": switches.Access(20), "c2": switches.Idle(), "c3": switches.Access(10)},
		},
		"lists of VLANs, for which the bridge stands still": {
			{"c1": {Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(10, 20)}, "c2": switches.Access(30), "c3": switches.Access(10)},
			{"c1": {Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(20, 30)}, "c2": switches.Access(20), "c3": switches.Idle()},
		},
		"a list that goes, and nothing else": {
			{"c1": {Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(10, 20)}, "c2": switches.Access(10), "c3": switches.Access(20)},
			{"c1": switches.Idle(), "c2": switches.Idle(), "c3": switches.Idle()},
		},
	} {
		t.Run(name, func(t *testing.T) { killedAtEveryStep(t, configs) })
	}
}

func killedAtEveryStep(t *testing.T, configs [2]map[string]switches.PortConfig) {
	o := ovstest.Start(t)
	ports := []string{"c1", "c2", "c3", packettest.Uplink}
	lab := packettest.New(t, o.NS, ports...)
	lab.VLANs = []int{10, 20, 30}
	o.AddBridge("br0", ports...)
	o.Vsctl("set", "bridge", "br0", macTable, "--", "set", "port", packettest.Uplink, "trunks=10,20,30")
	var states [2]map[string]switches.PortState
	for i, c := range configs {
		states[i] = map[string]switches.PortState{packettest.Uplink: {Tagged: switches.VLANs(10, 20, 30)}}
		for port, c := range c {
			states[i][port] = switches.PortState{Native: c.NativeVLAN, Tagged: c.AllowedVLANs}
		}
	}
	if _, err := killedSwitch(t, ovs.Config{Address: o.Address, Bridge: "br0"}).Apply(t.Context(), switches.Wanted{Ports: configs[0]}); err != nil {
		t.Fatal(err)
	}
	from := 0
	for commands, more := 1, true; more; commands++ {
		if commands > 100 {
			t.Fatal("a move has no end")
		}
		lab.Settled(states[from])
		lab.During(states[from], states[1-from], func() {
			m, conf := bear(t, o, commands)
			_, err := killedSwitch(t, conf).Apply(deadWith(t, m), switches.Wanted{Ports: configs[1-from]})
			more = err != nil
			revive(t, o, configs[1-from])
		})
		from = 1 - from
		if ids := o.Vsctl("get", "bridge", "br0", "external_ids", "fail_mode"); strings.Contains(ids, "held") || strings.Contains(ids, "changing") || !strings.HasSuffix(ids, "[]") {
			t.Errorf("after %d commands and a new controller the bridge has %s", commands, ids)
		}
		if !more {
			t.Logf("a move is %d commands", commands-1)
		}
	}
	lab.Settled(states[from])
	lab.Check()
}

// deadWith is a context that ends when the controller dies.
func deadWith(t *testing.T, m *mortal) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		select {
		case <-m.died:
		case <-t.Context().Done():
		}
		cancel()
	}()
	return ctx
}

// revive starts the next controller, and returns once it has made the switch
// what is wanted. It may take the time for which a difference is left alone,
// that of a change, and what a busy machine adds.
func revive(t *testing.T, o *ovstest.OVS, wanted map[string]switches.PortConfig) {
	t.Helper()
	sw := killedSwitch(t, ovs.Config{Address: o.Address, Bridge: "br0"})
	fleet, err := switches.NewFleet(sw)
	if err != nil {
		t.Fatal(err)
	}
	d := &switches.Drift{Fleet: fleet, Every: time.Hour, Grace: time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Intent: func(context.Context, string) (switches.Wanted, error) { return switches.Wanted{Ports: wanted}, nil }}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d.Check(ctx, sw)
	if s := d.States()["lab"]; s.Error != "" || len(s.Differences) > 0 {
		t.Errorf("the next controller did not make it right: %+v", s)
	}
	plan, err := sw.Plan(ctx, switches.Wanted{Ports: wanted})
	if err != nil || !plan.Empty() {
		t.Errorf("after the next controller: %v, %v", plan.Words(), err)
	}
}
