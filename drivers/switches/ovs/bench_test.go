//go:build switches

package ovs_test

import (
	"fmt"
	"testing"
	"time"

	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/ovs"
	"caddyshack/drivers/switches/ovstest"
	"caddyshack/internal/netns"
)

// BenchmarkMove is a move from one VLAN to another, confirmed by read-back, of
// one port and of all 48 of a bridge.
func BenchmarkMove(b *testing.B) {
	o := ovstest.Start(b)
	var names []string
	for i := range 49 {
		name := fmt.Sprintf("p%d", i)
		if err := netns.Cable(o.NS, name, nil, o.NS, name+"x"); err != nil {
			b.Fatal(err)
		}
		names = append(names, name)
	}
	o.AddBridge("br0", names...)
	o.Vsctl("set", "port", "p0", "trunks=2-4094")
	sw, err := switches.New(switches.Config{ID: "b", Uplinks: names[:1], Timeout: time.Minute}, ovs.New(ovs.Config{Address: o.Address, Bridge: "br0"}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sw.Close() }()
	if _, err := sw.Apply(b.Context(), switches.Wanted{RestIdle: true}); err != nil {
		b.Fatal(err)
	}
	for _, ports := range []int{1, 48} {
		b.Run(fmt.Sprintf("ports=%d", ports), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				w := switches.Wanted{Ports: map[string]switches.PortConfig{}}
				for n := range ports {
					w.Ports[names[n+1]] = switches.Access(100 + i%2*100 + n)
				}
				if _, err := sw.Apply(b.Context(), w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
