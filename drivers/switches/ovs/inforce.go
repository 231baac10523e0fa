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

// takenOver returns when ovs-vswitchd has the configuration with this next_cfg.
func (b *Bridge) takenOver(ctx context.Context, cfg int) error {
	for {
		applied, news := b.heard()
		if applied >= cfg {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return baremetal.Errorf(baremetal.Unavailable, "the change is in Open vSwitch's database, but ovs-vswitchd does not take it over: %w; is it running?", ctx.Err())
		}
	}
}

// forgetAll returns when there is nothing left of before a change of ports:
// neither flows nor MAC addresses. A flow that goes may leave behind the
// address that it has seen last, so that the flows come first; and once more at
// the end, those that were made by such an address.
func (b *Bridge) forgetAll(ctx context.Context, ports []string) error {
	if err := b.forgetFlows(ctx); err != nil {
		return err
	}
	if err := b.forgetAddresses(ctx, ports); err != nil {
		return err
	}
	return b.forgetFlows(ctx)
}

func (b *Bridge) forgetAddresses(ctx context.Context, ports []string) error {
	if socket := b.controlSocket(); socket != "" {
		// A daemon of another machine, or one that has just ended, fails here.
		if err := control(ctx, socket, "fdb/flush", b.conf.Bridge); err == nil {
			return nil
		}
	}
	// Any change of a port's settings makes ovs-vswitchd forget what it has
	// learned there; this one is for frames with a priority and no VLAN.
	for _, tags := range []string{"if-nonzero", "never"} {
		var ops []op
		for _, p := range ports {
			ops = append(ops, op{"op": "mutate", "table": "Port", "where": named(p), "mutations": []any{
				[]any{"other_config", "delete", set[string]{priorityTags}}, []any{"other_config", "insert", table{priorityTags: tags}}}})
		}
		if err := b.commit(ctx, nil, ops); err != nil {
			return err
		}
	}
	return nil
}

const priorityTags = "priority-tags"

// forgetFlows returns when no flow of before is left. They come again with the
// first frame that needs them.
func (b *Bridge) forgetFlows(ctx context.Context) error {
	if socket := b.controlSocket(); socket != "" {
		if err := control(ctx, socket, "revalidator/purge"); err == nil {
			return nil
		}
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

// control gives ovs-vswitchd a command.
func control(ctx context.Context, socket, command string, args ...string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	r := newRPC(conn, func(string, json.RawMessage) {})
	defer r.fail(errors.New("closed"))
	return r.call(ctx, command, append([]string{}, args...), nil)
}
