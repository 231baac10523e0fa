//go:build switches

package ingress_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"caddyshack/internal/ingress"
	"caddyshack/internal/netns"
)

// The machine in the middle, with an address in each of the two networks.
const (
	office = "192.0.2.1/24"
	tenant = "10.20.0.1/24"
)

// place is a namespace with a link to the machine, and an address there.
func place(t *testing.T, machine *netns.NS, link, there, here string) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	if err == nil {
		t.Cleanup(func() { _ = ns.Close() })
		err = errors.Join(netns.Cable(ns, "eth0", nil, machine, link), address(ns, "eth0", here), address(machine, link, there))
	}
	if err == nil {
		err = ns.Do(func() error { // all goes to the machine
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: netip.MustParsePrefix(there).Addr().AsSlice()})
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func address(ns *netns.NS, link, prefix string) error {
	return ns.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(prefix)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}

// listen greets who connects to the machine's address in the office.
func listen(t *testing.T, machine *netns.NS, filter func() (ingress.Filter, error)) netip.AddrPort {
	t.Helper()
	var l net.Listener
	err := machine.Do(func() error {
		f, err := filter()
		if err != nil {
			return err
		}
		l, err = (&net.ListenConfig{Control: f.Control}).Listen(t.Context(), "tcp", netip.MustParsePrefix(office).Addr().String()+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello"))
			_ = c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// greeted connects and returns what it hears.
func greeted(t *testing.T, from *netns.NS, to netip.AddrPort, patience time.Duration) (string, error) {
	t.Helper()
	heard := make([]byte, 5)
	err := from.Do(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(heard)
		return err
	})
	return string(heard), err
}

func TestFilter(t *testing.T) {
	t.Parallel()
	machine, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = machine.Close() })
	people := place(t, machine, "office", office, "192.0.2.2/24")
	node := place(t, machine, "net20", tenant, "10.20.0.5/24")
	for name, test := range map[string]struct {
		change func(*ingress.Filter)
		deaf   bool
	}{
		"both":             {func(*ingress.Filter) {}, true},
		"by its address":   {func(f *ingress.Filter) { f.Interfaces = nil }, true},
		"by where it is":   {func(f *ingress.Filter) { f.Sources = nil }, true},
		"without a filter": {func(f *ingress.Filter) { *f = ingress.Filter{} }, false}, // or nothing would be shown
		"of other networks": {func(f *ingress.Filter) {
			*f = ingress.Filter{Sources: []netip.Prefix{netip.MustParsePrefix("10.20.1.0/24")}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := listen(t, machine, func() (ingress.Filter, error) {
				f, err := ingress.On([]netip.Prefix{netip.MustParsePrefix(tenant)})
				if len(f.Interfaces) != 1 {
					t.Errorf("the interface was not found: %+v", f)
				}
				test.change(&f)
				return f, err
			})
			if heard, err := greeted(t, people, at, time.Minute); err != nil || heard != "hello" {
				t.Errorf("from the office: %q, %v", heard, err)
			}
			if !test.deaf {
				if heard, err := greeted(t, node, at, time.Minute); err != nil || heard != "hello" {
					t.Errorf("from a node: %q, %v", heard, err)
				}
				return
			}
			_, err := greeted(t, node, at, 1500*time.Millisecond) // time for a second SYN
			var silence net.Error
			if !errors.As(err, &silence) || !silence.Timeout() {
				t.Errorf("from a node: %v, want no answer at all", err)
			}
		})
	}
}
