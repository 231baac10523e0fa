package provision

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"caddyshack/bus"
)

// Update says what to do to a chassis.
type Update struct {
	// Broker is how to reach the bus, as a user that may command units.
	// Subscriptions and OnMessage are set here.
	Broker bus.ClientConfig
	// Units in the order they are done. The next one begins when the one before is healthy.
	Units []string
	// File is the signed firmware (Sign).
	File []byte
	// Listen is host:port for serving the file by plain HTTP (the signature is
	// what units trust); the host must be one that units can reach. Port 0 = any.
	Listen string
	// Force takes a version older than what runs, down to the units' minimum.
	Force bool
	// Patience limits each unit; 0 = 10 minutes. A unit proves a new image for one.
	Patience time.Duration
	// Progress gets lines for people; nil = none.
	Progress func(unit, text string)
}

// unitView is what was heard of a unit.
type unitView struct {
	online bool
	info   info
	up     uint32
	upAt   time.Time
	slots  map[int]bus.State
	acks   map[string]bus.Code
}

// info has what bus.Info leaves out.
type info struct {
	Firmware string `json:"fw"`
	Boot     uint32 `json:"boot"`
	Update   string `json:"update"`
}

type updater struct {
	Update
	client *bus.Client
	url    string
	want   string
	digest string

	mu     sync.Mutex
	units  map[string]*unitView
	change chan struct{} // closed and replaced with each message
}

// Run updates the units one by one and stops at the first that does not come
// back healthy: a bad image then costs one unit a restart, and that one goes
// back to its old image by itself. Power of slots is not touched.
func (u Update) Run(ctx context.Context) error {
	version, err := FileVersion(u.File)
	if err != nil {
		return err
	}
	if u.Progress == nil {
		u.Progress = func(string, string) {}
	}
	if u.Patience == 0 {
		u.Patience = 10 * time.Minute
	}
	sum := sha256.Sum256(u.File)
	r := &updater{Update: u, want: version.String(), digest: hex.EncodeToString(sum[:]), units: map[string]*unitView{}, change: make(chan struct{})}
	stop, err := r.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := r.connect(ctx); err != nil {
		return err
	}
	defer r.client.Close()
	for _, id := range u.Units {
		if err := r.one(ctx, id); err != nil {
			return fmt.Errorf("updating unit %q to %s (the units after it were left alone): %w", id, r.want, err)
		}
	}
	return nil
}

func (r *updater) serve(ctx context.Context) (stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.Listen)
	if err != nil {
		return nil, fmt.Errorf("serving the firmware: %w", err)
	}
	path := "/" + r.digest[:16] + ".bin"
	r.url = "http://" + l.Addr().String() + path
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(r.File)))
		_, _ = w.Write(r.File)
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }()
	return func() { _ = s.Close() }, nil
}

func (r *updater) connect(ctx context.Context) error {
	cfg := r.Broker
	for _, id := range r.Units {
		r.units[id] = &unitView{slots: map[int]bus.State{}, acks: map[string]bus.Code{}}
		own := bus.Root + "/bpu/" + id + "/"
		for _, leaf := range []string{"status", "info", "telemetry", "ack", "slot/+/state"} {
			cfg.Subscriptions = append(cfg.Subscriptions, own+leaf)
		}
	}
	cfg.OnMessage = r.hear
	var err error
	if r.client, err = bus.NewClient(cfg); err != nil {
		return fmt.Errorf("connecting to the bus: %w", err)
	}
	if err := r.client.WaitConnected(ctx); err != nil {
		r.client.Close()
		return fmt.Errorf("connecting to the bus: %w", err)
	}
	return nil
}

func (r *updater) hear(m bus.Message) {
	id, leaf, _ := strings.Cut(strings.TrimPrefix(m.Topic, bus.Root+"/bpu/"), "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.units[id]
	if v == nil {
		return
	}
	switch leaf {
	case "status":
		v.online = string(m.Payload) == string(bus.Online)
	case "info":
		_ = json.Unmarshal(m.Payload, &v.info)
	case "telemetry":
		if t, err := bus.DecodeTelemetry(m.Payload); err == nil {
			v.up, v.upAt = t.Up, time.Now()
		}
	case "ack":
		if a, err := bus.DecodeAck(m.Payload); err == nil {
			v.acks[a.ID] = a.Code
		}
	default:
		var n int
		if _, err := fmt.Sscanf(leaf, "slot/%d/state", &n); err == nil {
			if st, err := bus.DecodeState(m.Payload); err == nil {
				v.slots[n] = st
			}
		}
	}
	close(r.change)
	r.change = make(chan struct{})
}

// await returns when ok says so; ok is called with the lock held.
func (r *updater) await(ctx context.Context, what string, ok func() (bool, error)) error {
	for {
		r.mu.Lock()
		done, err := ok()
		change := r.change
		r.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("waiting %s: %w", what, ctx.Err())
		}
	}
}

func (r *updater) one(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	v := r.units[id]
	if err := r.await(ctx, "for it to be online", func() (bool, error) { return v.online && v.info.Firmware != "", nil }); err != nil {
		return err
	}
	r.mu.Lock()
	same := v.info.Firmware == r.want && !r.Force
	r.mu.Unlock()
	if same {
		r.Progress(id, "runs "+r.want+" already")
		return nil
	}
	boot, err := r.order(ctx, id, v)
	if err != nil {
		return err
	}
	r.Progress(id, "fetching")
	return r.watch(ctx, id, v, boot)
}

// order sends the command; a unit in the middle of something is asked again.
func (r *updater) order(ctx context.Context, id string, v *unitView) (boot uint32, err error) {
	for {
		if err := r.fresh(ctx, id, v); err != nil {
			return 0, err
		}
		r.mu.Lock()
		boot = v.info.Boot
		exp := v.up + uint32(time.Since(v.upAt)/time.Second) + 60
		r.mu.Unlock()
		name := "update-" + strings.ToLower(rand.Text()[:8])
		if err := r.send(ctx, id, map[string]any{"id": name, "op": "ota", "boot": boot, "exp": exp, "url": r.url, "sha256": r.digest, "force": r.Force}); err != nil {
			return 0, err
		}
		var code bus.Code
		err := r.await(ctx, "for its answer", func() (bool, error) {
			if code = v.acks[name]; code == bus.CodeAccepted {
				v.info.Update = "" // what it says from now on is about this update
			}
			return code != "", nil
		})
		if err != nil {
			return 0, err
		}
		switch code {
		case bus.CodeAccepted:
			return boot, nil
		case bus.CodeBusy:
			r.Progress(id, "busy, trying again")
		default:
			return 0, fmt.Errorf("it answered %q", code)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return 0, errors.New("it stayed busy")
		}
	}
}

// fresh asks the unit to tell everything, so that its uptime is known.
func (r *updater) fresh(ctx context.Context, id string, v *unitView) error {
	r.mu.Lock()
	v.upAt = time.Time{}
	boot := v.info.Boot
	r.mu.Unlock()
	name := "resync-" + strings.ToLower(rand.Text()[:8])
	// Asking to be told things may come late without harm, so this never expires.
	if err := r.send(ctx, id, map[string]any{"id": name, "op": "resync", "boot": boot, "exp": uint32(1<<32 - 1)}); err != nil {
		return err
	}
	return r.await(ctx, "for its telemetry", func() (bool, error) { return !v.upAt.IsZero(), nil })
}

func (r *updater) send(ctx context.Context, id string, fields map[string]any) error {
	b, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return r.client.Publish(ctx, bus.Message{Topic: bus.Root + "/bpu/" + id + "/cmd", Payload: b, QoS: 1})
}

// underWay tells whether the word describes an update that goes on.
func underWay(report string) bool {
	switch report {
	case "", "backup", "fetch", "verify", "restart", "trial":
		return true
	}
	return false
}

// watch is the health gate: the new image must run, have proved itself, and every slot must have the power it had.
func (r *updater) watch(ctx context.Context, id string, v *unitView, boot uint32) error {
	r.mu.Lock()
	before := map[int]bus.Power{}
	for n, st := range v.slots {
		before[n] = st.Power
	}
	r.mu.Unlock()
	said := ""
	err := r.await(ctx, "for the new image to prove itself", func() (bool, error) {
		now := v.info
		if now.Update != said {
			said = now.Update
			r.Progress(id, said)
		}
		switch {
		case now.Boot != boot && now.Update == "done":
			return true, nil
		case now.Boot == boot && now.Update == "done", underWay(now.Update):
			return false, nil // "done" of an earlier update
		default:
			return false, fmt.Errorf("it reports %q", now.Update)
		}
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.info.Firmware != r.want {
		return fmt.Errorf("it runs %s", v.info.Firmware)
	}
	for n, power := range before {
		if power == bus.PowerOn && v.slots[n].Power != bus.PowerOn {
			return fmt.Errorf("slot %d was on and is %s", n, v.slots[n].Power)
		}
	}
	return nil
}
