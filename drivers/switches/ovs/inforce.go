package ovs

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// inForce returns when ovs-vswitchd has taken over the configuration with this
// next_cfg and no flow from before is left: those pass by the ports' VLANs.
func (b *Bridge) inForce(ctx context.Context, cfg int) error {
	for {
		applied, news := b.heard()
		if applied >= cfg {
			break
		}
		select {
		case <-news:
		case <-ctx.Done():
			return baremetal.Errorf(baremetal.Unavailable, "the change is in Open vSwitch's database, but ovs-vswitchd does not take it over: %w; is it running?", ctx.Err())
		}
	}
	if socket := b.controlSocket(); socket != "" {
		if err := purge(ctx, socket); err == nil || ctx.Err() != nil {
			return err
		}
		// A daemon of another machine, or one that has just ended.
	}
	select {
	case <-time.After(b.flowLife()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flowLife is how long an old flow may live: the threads that check flows
// start at least every max-revalidator (500 ms unless configured), and a round
// that is under way may have passed it already.
func (b *Bridge) flowLife() time.Duration {
	ms, err := strconv.Atoi(b.seen.root.OtherConfig["max-revalidator"])
	if err != nil || ms <= 0 {
		ms = 500
	}
	return time.Duration(2*ms)*time.Millisecond + 100*time.Millisecond
}

// controlSocket finds that of ovs-vswitchd.
func (b *Bridge) controlSocket() string {
	if b.conf.ControlSocket != "" {
		return b.conf.ControlSocket
	}
	path, local := strings.CutPrefix(b.conf.Address, "unix:")
	if !local {
		return ""
	}
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(path), "ovs-vswitchd.pid"))
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(path), "ovs-vswitchd."+strings.TrimSpace(string(pid))+".ctl")
}

// purge removes all flows, which come again with the first frame that needs
// them, by the configuration of now.
func purge(ctx context.Context, socket string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	r := newRPC(conn, func(string, json.RawMessage) {})
	defer r.fail(errors.New("closed"))
	return r.call(ctx, "revalidator/purge", []string{}, nil)
}
