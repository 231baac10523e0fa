package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/pxe/images"
	"caddyshack/pxe/images/demo"
	"caddyshack/store"
)

// watchAcks delivers what the unit answers to commands to slot 1. (Those to the
// unit itself, which asks for all states anew, come whenever a controller has
// missed something.)
func watchAcks(t *testing.T, broker string) (*bus.Client, <-chan bus.Ack) {
	t.Helper()
	acks := make(chan bus.Ack, 64)
	c, err := bus.NewClient(bus.ClientConfig{Broker: broker, ClientID: "watcher", User: "controller", Password: "secret",
		Subscriptions: []string{bus.Root + "/bpu/#"},
		OnMessage: func(m bus.Message) {
			if topic, err := bus.ParseTopic(m.Topic); err != nil || topic.Kind != bus.KindAck || topic.Slot != 1 {
				return
			}
			if a, err := bus.DecodeAck(m.Payload); err == nil {
				acks <- a
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, acks
}

// command sends an "on" of a claim's epoch to slot 1 and returns the answer, and
// what the unit has answered to others before.
func command(t *testing.T, c *bus.Client, acks <-chan bus.Ack, id string, epoch int64) (answer bus.Ack, before []bus.Ack) {
	t.Helper()
	cmd, err := bus.Encode(bus.SlotCommand{ID: id, Op: bus.OpOn, Epoch: uint32(epoch), Boot: 1, Exp: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	topic := bus.Topic{Unit: "bpu-1", Slot: 1, Kind: bus.KindCommand}
	if err := c.Publish(t.Context(), bus.Message{Topic: topic.String(), Payload: cmd, QoS: 1}); err != nil {
		t.Fatal(err)
	}
	timeout := time.After(patient)
	for {
		select {
		case a := <-acks:
			if a.ID == id {
				return a, before
			}
			before = append(before, a)
		case <-timeout:
			t.Fatalf("the unit did not answer within %s", patient)
		}
	}
}

// rack has simulated caddies at a program's broker until the test ends.
func rack(t *testing.T, p *process, dir string, caddies int) *simulated {
	t.Helper()
	tftp, err := netip.ParseAddrPort(p.addr.TFTP)
	if err != nil {
		t.Fatal(err)
	}
	s, err := startSimulated(t.Context(), simulatedConfig{Caddies: caddies, Dir: filepath.Join(dir, "sim"), Broker: p.addr.MQTT,
		Password: func(string) string { return "unit" }, TFTP: tftp, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

// tinyImage makes the demo image as it is where there is no Go.
func tinyImage(t *testing.T, dir string) images.Image {
	t.Helper()
	image := demo.New(demo.Config{Dir: dir, Go: "/nonexistent"})
	if err := image.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	tiny, err := image.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tiny
}

// createCaddy enters a simulated caddy through the API and returns its uuid.
func createCaddy(t *testing.T, p *process, c caddy) string {
	t.Helper()
	body := fmt.Sprintf(`{"name":"caddy-%d","driver":"caddy","driver_info":{"backplane_unit":%q,"slot":%d}}`, c.Slot, c.Unit, c.Slot)
	code, b, err := p.request(http.MethodPost, "/v1/nodes", body)
	if err != nil || code != http.StatusCreated {
		t.Fatalf("creating the node: %d %s %v", code, b, err)
	}
	var n struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal(b, &n); err != nil {
		t.Fatal(err)
	}
	body = fmt.Sprintf(`{"node_uuid":%q,"address":%q,"extra":{"ip_address":%q}}`, n.UUID, c.MAC(), c.Address())
	if code, b, err := p.request(http.MethodPost, "/v1/ports", body); err != nil || code != http.StatusCreated {
		t.Fatalf("creating the port: %d %s %v", code, b, err)
	}
	return n.UUID
}

func send(t *testing.T, p *process, verb, uuid string) {
	t.Helper()
	code, b, err := p.request(http.MethodPut, "/v1/nodes/"+uuid+"/states/provision", `{"target":"`+verb+`"}`)
	if err != nil || code != http.StatusAccepted {
		t.Fatalf("%s: %d %s %v", verb, code, b, err)
	}
}

// awaitRow reads the node's row until ok says so.
func awaitRow(t *testing.T, s *store.Store, uuid, what string, ok func(*baremetal.Node) bool) baremetal.Node {
	t.Helper()
	deadline := time.Now().Add(patient)
	for {
		n, err := s.Node(t.Context(), uuid)
		if err != nil {
			t.Fatal(err)
		}
		if ok(&n) {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node is not %s after %s: %q reservation %q error %q waits for %q", what, patient,
				n.ProvisionState, n.Work.Reservation, n.LastError, n.Work.WaitReason)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // polling another process
	}
}

// processStopped tells whether the kernel has stopped the process.
func processStopped(t *testing.T, pid int) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}
