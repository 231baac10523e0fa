package pxe

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

// arpTable is where Linux shows which machine was found at which address.
const arpTable = "/proc/net/arp"

// neighbour is a line of it.
type neighbour struct{ mac, device string }

// Neighbour returns the MAC that this machine's kernel has found at an address
// of a network that it is in. A machine that asks for a file has asked for our
// MAC before, and so is there. It is not found behind a router.
func Neighbour(a netip.Addr) (mac string, ok bool) {
	n, ok := findNeighbour(a)
	return n.mac, ok
}

func findNeighbour(a netip.Addr) (neighbour, bool) {
	text, err := os.ReadFile(arpTable)
	if err != nil {
		return neighbour{}, false
	}
	return neighbourIn(text, a.Unmap())
}

// neighbourIn looks in a table of lines "address type flags MAC mask device",
// below a heading.
func neighbourIn(table []byte, a netip.Addr) (neighbour, bool) {
	const address, mac, device, fields = 0, 3, 5, 6
	const incomplete = "00:00:00:00:00:00"
	want := a.String()
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) >= fields && f[address] == want && f[mac] != incomplete {
			return neighbour{strings.ToLower(f[mac]), f[device]}, true
		}
	}
	return neighbour{}, false
}

// holdEvery is less than the kernel takes to give up a neighbour that was
// confirmed and does not answer any more: at least 15 s, and 8 s of asking.
const holdEvery = 2 * time.Second

// HoldNeighbour keeps an address with the MAC that was found there until
// release is called, though the machine answers no ARP: the boot ROM of a Pi 3B
// does not while it loads its boot loader, and the kernel would give it up in
// the middle of a transfer with losses. The entry is confirmed again and again
// and not made permanent, so that nothing stays behind if this process dies. It
// needs CAP_NET_ADMIN (an error of kind os.ErrPermission).
func HoldNeighbour(a netip.Addr, mac string) (release func(), err error) {
	n, ok := findNeighbour(a)
	if !ok || n.mac != mac {
		return nil, fmt.Errorf("holding the neighbour %s: it is not %s any more", a, mac)
	}
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return nil, fmt.Errorf("holding the neighbour %s: %w", a, err)
	}
	link, err := netlink.LinkByName(n.device)
	if err != nil {
		return nil, fmt.Errorf("holding the neighbour %s: %w", a, err)
	}
	confirm := func() error {
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_REACHABLE, IP: a.Unmap().AsSlice(), HardwareAddr: hw})
	}
	if err := confirm(); err != nil {
		return nil, fmt.Errorf("holding the neighbour %s: %w", a, err)
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(holdEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = confirm() // it was allowed before; the interface may be gone
			}
		}
	}()
	return sync.OnceFunc(func() { close(done) }), nil
}
