package ironicapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/conductor/conductortest"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
	"caddyshack/ironicapi"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

// newRealRig is an API over a real store and a real conductor with fake-hardware.
func newRealRig(t testing.TB, change ...func(*ironicapi.Config)) (*rig, *store.Store) {
	t.Helper()
	s, changes := storetest.New(t), new(conductortest.Changes)
	registry, err := drivers.NewRegistry(fake.HardwareType())
	if err != nil {
		t.Fatal(err)
	}
	cfg := ironicapi.Config{Store: s, PublicEndpoint: "http://api.test"}
	for _, f := range change {
		f(&cfg)
	}
	c, err := conductor.New(conductor.Settings{Store: changes.Watch(s), Registry: registry, Host: "shack", LockWait: 2 * time.Second, Log: cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("conductor ended with %v", err)
		}
	})
	select {
	case <-c.Ready():
	case <-time.After(time.Minute):
		t.Fatal("the conductor is not ready after a minute")
	}
	cfg.Conductor = c
	h, err := ironicapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, handler: h, changes: changes}, s
}

// await reads a path, after each write of the conductor, until the field has the value, for at most a minute.
func (r *rig) await(path, field string, want any) (a answer) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	there := r.changes.Await(ctx, func() bool {
		a = r.at(82, "GET", path, nil)
		return a.status == 200 && a.body[field] == want
	})
	if !there {
		r.t.Fatalf("%s: %s is not %v after a minute: %s", path, field, want, a.text)
	}
	return a
}

// provision asks for a verb and waits for the state it ends in.
func (r *rig) provision(node, verb, state string) {
	r.t.Helper()
	r.must(202, "PUT", "/v1/nodes/"+node+"/states/provision", map[string]any{"target": verb})
	r.awaitIdle(node, state)
}

func (r *rig) awaitIdle(node, state string) {
	r.t.Helper()
	r.await("/v1/nodes/"+node, "provision_state", state)
	r.await("/v1/nodes/"+node, "reservation", nil)
}

// available makes a node that is available and powered off.
func (r *rig) available(fields map[string]any) string {
	r.t.Helper()
	id := r.node(fields)
	r.power(id, "power off")
	r.provision(id, "manage", "manageable")
	r.provision(id, "provide", "available")
	return id
}

func (r *rig) power(node, target string) {
	r.t.Helper()
	r.must(202, "PUT", "/v1/nodes/"+node+"/states/power", map[string]any{"target": target})
	r.await("/v1/nodes/"+node, "target_power_state", nil)
	r.await("/v1/nodes/"+node, "power_state", target)
	r.await("/v1/nodes/"+node, "reservation", nil)
}

// edit changes a node behind the API's back.
func edit(t testing.TB, s *store.Store, id string, change func(*baremetal.Node)) {
	t.Helper()
	if _, err := s.UpdateNode(t.Context(), id, func(n *baremetal.Node) error { change(n); return nil }); err != nil {
		t.Fatal(err)
	}
}

// call is one request of a table, with what must come back.
type call struct {
	method, path string
	body         any
	minor        int // 0 = 82
	status       int
	text         string // part of the reply, or of the fault
}

// calls carries out a table of requests, one after another.
func (r *rig) calls(list ...call) {
	r.t.Helper()
	for _, c := range list {
		if c.minor == 0 {
			c.minor = 82
		}
		r.want(c)
	}
}

// want carries out one request and compares its answer.
func (r *rig) want(c call) {
	r.t.Helper()
	a := r.at(c.minor, c.method, c.path, c.body)
	got := a.text
	if a.status >= 400 {
		got = a.fault()
	}
	if a.status != c.status || !strings.Contains(got, c.text) {
		r.t.Errorf("1.%d %s %s %v:\n got %d %s\nwant %d %s", c.minor, c.method, c.path, c.body, a.status, a.text, c.status, c.text)
	}
}
