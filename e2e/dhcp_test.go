//go:build e2e && netns

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Our server alone: Pis of every model go from power-on by DHCP, TFTP and NFS
// to active, with addresses that are theirs.
func TestDHCPServer(t *testing.T) {
	t.Parallel()
	seg := newSegment(t)
	r := newRack(t, seg, 4, seg.server())
	r.serve(t)
	r.simulate(t)
	for i := range 4 {
		r.enroll(i + 1)
	}
	r.deployAll(4)
	out := r.own("dhcp", "reservations").ok(t)
	for i := range 4 {
		want := fmt.Sprintf("%s  %s", piMAC(i+1), seg.address(100+i))
		if !strings.Contains(strings.Join(strings.Fields(out), "  "), want) {
			t.Errorf("reservations lack %q:\n%s", want, out)
		}
	}
}

// deployAll deploys all Pis at once.
func (r *rack) deployAll(pis int) {
	r.t.Helper()
	for i := range pis {
		r.api.provision(fmt.Sprint("caddy-", i+1), "active")
	}
	for i := range pis {
		name := fmt.Sprint("caddy-", i+1)
		if n := r.awaitState(name, "active", "deploy failed"); n.Provision != "active" {
			r.t.Errorf("the deploy of %s failed: %s; history %q", name, text(n.LastError), r.api.history(name))
		}
	}
}
