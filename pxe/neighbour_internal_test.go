package pxe

import (
	"net/netip"
	"testing"
)

func TestNeighbourIn(t *testing.T) {
	t.Parallel()
	table := []byte(`IP address       HW type     Flags       HW address            Mask     Device
10.77.4.10       0x1         0x2         DC:a6:32:ca:01:01     *        br4
10.77.4.1        0x1         0x0         00:00:00:00:00:00     *        br4
`)
	for a, want := range map[string]neighbour{"10.77.4.10": {"dc:a6:32:ca:01:01", "br4"}, "10.77.4.1": {}, "10.77.4.100": {}, "10.77.4.11": {}} {
		got, ok := neighbourIn(table, netip.MustParseAddr(a))
		if got != want || ok != (want != neighbour{}) {
			t.Errorf("%s: %q, %v", a, got, ok)
		}
	}
}
