package pxe

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
)

// arpTable is where Linux shows which machine was found at which address.
const arpTable = "/proc/net/arp"

// Neighbour returns the MAC that this machine's kernel has found at an address
// of a network that it is in. A machine that asks for a file has asked for our
// MAC before, and so is there. It is not found behind a router.
func Neighbour(a netip.Addr) (mac string, ok bool) {
	text, err := os.ReadFile(arpTable)
	if err != nil {
		return "", false
	}
	return neighbourIn(text, a.Unmap())
}

// neighbourIn looks in a table of lines "address type flags MAC mask device",
// below a heading.
func neighbourIn(table []byte, a netip.Addr) (string, bool) {
	const incomplete = "00:00:00:00:00:00"
	want := a.String()
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) >= 4 && f[0] == want && f[3] != incomplete {
			return strings.ToLower(f[3]), true
		}
	}
	return "", false
}
