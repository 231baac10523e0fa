package provision_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/firmware/bpusim"
	"caddyshack/firmware/provision"
)

// simImage is a program image as the simulated flash knows it (firmware/simhw/parts.h).
func simImage(version provision.Version) []byte {
	body := make([]byte, 20000)
	_, _ = rand.Read(body)
	const magic, head = 0x1ea9e900, 16
	var image []byte
	for _, word := range []uint32{magic, uint32(version), uint32(head + len(body)), crc32.ChecksumIEEE(body)} {
		image = binary.LittleEndian.AppendUint32(image, word)
	}
	return append(image, body...)
}

type chassis struct {
	broker string
	units  []string
	key    *rsa.PrivateKey
	sims   map[string]*bpusim.Unit

	mu     sync.Mutex
	said   []string
	onSaid func(line string) // nil = none
}

// newChassis runs two units with one slot on, whose clocks run as fast as they can.
func newChassis(t *testing.T) *chassis {
	t.Helper()
	c := &chassis{units: []string{"bpu-1", "bpu-2"}, sims: map[string]*bpusim.Unit{}}
	c.broker = bustest.Embedded(t, c.units...)
	var err error
	if c.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	for _, id := range c.units {
		sim, err := bpusim.Start(bpusim.Config{Program: program, Log: bustest.Log(t), Args: []string{
			"--broker", strings.TrimPrefix(c.broker, "tcp://"), "--id", id, "--user", id, "--password", bustest.Password(id),
			"--update-key", hex.EncodeToString(c.key.N.Bytes()), "--power", "1,0,0", "--clock", "manual",
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.sims[id] = sim
		done, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				step, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_, err := sim.Do(step, "advance 500")
				cancel()
				if err != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { close(stop); <-done; sim.Close() })
	}
	return c
}

func (c *chassis) update(t *testing.T, file []byte, force bool) error {
	return provision.Update{
		Broker: bus.ClientConfig{
			Broker: c.broker, ClientID: "updater-" + rand.Text(), User: bustest.ControllerUser, Password: bustest.Password(bustest.ControllerUser),
			Log: bustest.Log(t),
		},
		Units: c.units, File: file, Listen: "127.0.0.1:0", Force: force, Patience: 30 * time.Second,
		Progress: func(unit, text string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.said = append(c.said, unit+" "+text)
			if c.onSaid != nil {
				c.onSaid(unit + " " + text)
			}
		},
	}.Run(ctx(t))
}

func (c *chassis) sign(t *testing.T, version, minimum string, key *rsa.PrivateKey) []byte {
	t.Helper()
	v, err := provision.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	m, err := provision.ParseVersion(minimum)
	if err != nil {
		t.Fatal(err)
	}
	file, err := provision.Sign(simImage(v), v, m, key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUpdateChassis(t *testing.T) {
	t.Parallel()
	c := newChassis(t)
	if err := c.update(t, c.sign(t, "1.1.0", "1.0.0", c.key), false); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(c.said, "\n"))
	}
	// One after the other: the second begins when the first is done.
	all := strings.Join(c.said, "\n")
	if first, second := strings.Index(all, "bpu-1 done"), strings.Index(all, "bpu-2 fetching"); first < 0 || second < first {
		t.Errorf("in this order:\n%s", all)
	}
	for id, sim := range c.sims {
		a, err := sim.Do(ctx(t), "slot 1 get")
		if err != nil {
			t.Fatal(err)
		}
		if a["pwr"] != "1" || a["pwr_edges"] != "0" {
			t.Errorf("%s: power of slot 1 was touched: %v", id, a)
		}
	}
	// Again: nothing to do. Back: only by force.
	if err := c.update(t, c.sign(t, "1.1.0", "1.0.0", c.key), false); err != nil {
		t.Error(err)
	}
	old := c.sign(t, "1.0.5", "1.0.0", c.key)
	if err := c.update(t, old, false); err == nil || !strings.Contains(err.Error(), "older than what runs") {
		t.Errorf("an older version: %v", err)
	}
	if err := c.update(t, old, true); err != nil {
		t.Errorf("an older version by force: %v\n%s", err, strings.Join(c.said, "\n"))
	}
}

func TestUpdateStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	c := newChassis(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	err = c.update(t, c.sign(t, "1.1.0", "1.0.0", stranger), false)
	if err == nil || !strings.Contains(err.Error(), "bad signature") || !strings.Contains(err.Error(), "bpu-1") {
		t.Errorf("a stranger's firmware: %v", err)
	}
	if said := strings.Join(c.said, "\n"); strings.Contains(said, "bpu-2") {
		t.Errorf("the second unit was touched:\n%s", said)
	}
}

// The first unit's new image never reaches the broker: three boots later the image before is back, which the unit
// tells; the second unit is left alone and no slot has lost its power.
func TestUpdateStopsAtAnImageThatFails(t *testing.T) {
	t.Parallel()
	c := newChassis(t)
	first, second := c.sims["bpu-1"], c.sims["bpu-2"]
	trial := make(chan struct{})
	c.onSaid = func(line string) {
		if line == "bpu-1 trial" {
			close(trial)
		}
	}
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		select {
		case <-trial:
		case <-t.Context().Done():
			return
		}
		if _, err := first.Do(ctx(t), "network down"); err != nil {
			t.Error(err)
			return
		}
		// Boot 1 had the order; 2 to 4 are the trial, 5 orders the way back, 6 is the old image.
		for boot := 0; boot < 6; {
			a, err := first.Do(ctx(t), "status")
			if err != nil {
				t.Error(err)
				return
			}
			boot = a.Int("boot")
		}
		if _, err := first.Do(ctx(t), "network up"); err != nil {
			t.Error(err)
		}
	})
	err := c.update(t, c.sign(t, "1.1.0", "1.0.0", c.key), false)
	if err == nil || !strings.Contains(err.Error(), "rolled back") || !strings.Contains(err.Error(), "bpu-1") {
		t.Errorf("an image that fails: %v", err)
	}
	if said := strings.Join(c.said, "\n"); strings.Contains(said, "bpu-2") {
		t.Errorf("the second unit was touched:\n%s", said)
	}
	for _, sim := range []*bpusim.Unit{first, second} {
		a, err := sim.Do(ctx(t), "slot 1 get")
		if err != nil {
			t.Fatal(err)
		}
		if a["pwr"] != "1" || a["pwr_edges"] != "0" {
			t.Errorf("power of slot 1 was touched: %v", a)
		}
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "1", "1.2", "1.2.3.4", "1.2.100", "a.b.c", "1.-2.3"} {
		if v, err := provision.ParseVersion(bad); err == nil {
			t.Errorf("%q was read as %v", bad, v)
		}
	}
	v, err := provision.ParseVersion("12.3.45")
	if err != nil || v != 120345 || v.String() != "12.3.45" {
		t.Errorf("12.3.45 was read as %d (%v), error %v", v, v, err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil {
		if _, err := provision.Sign([]byte("image"), 2, 1, small); err == nil {
			t.Error("a key of 1024 bits was taken")
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provision.Sign([]byte("image"), 1, 2, key); err == nil {
		t.Error("a minimum above the version was taken")
	}
	file, err := provision.Sign([]byte("image"), 2, 1, key)
	if err != nil || len(file)%4 != 0 {
		t.Fatalf("%d bytes, error %v", len(file), err)
	}
	if got, err := provision.FileVersion(file); err != nil || got != 2 {
		t.Errorf("version %v, error %v", got, err)
	}
	if _, err := provision.FileVersion([]byte("something else")); err == nil {
		t.Error("a file without a trailer was taken")
	}
}
