package pxe_test

import (
	"errors"
	"net/netip"
	"testing"

	"caddyshack/pxe"
	"caddyshack/pxe/tftpd"
)

func TestNetworksAdmit(t *testing.T) {
	t.Parallel()
	n := pxe.Networks{netip.MustParsePrefix("10.20.0.1/24"), netip.MustParsePrefix("10.30.0.1/24")}
	for _, tc := range []struct {
		local, remote string
		want          bool
	}{
		{"10.20.0.1", "10.20.0.5", true},
		{"::ffff:10.20.0.1", "::ffff:10.20.0.5", true},
		{"10.30.0.1", "10.20.0.5", false},   // by way of the kernel, which answers on all interfaces
		{"192.168.7.1", "10.20.0.5", false}, // the usual address is not for tenants
		{"10.20.0.1", "192.168.7.5", false},
		{"192.168.7.1", "192.168.7.5", true},
	} {
		if got := n.Admits(netip.MustParseAddr(tc.local), netip.MustParseAddr(tc.remote)); got != tc.want {
			t.Errorf("%s from %s: %v", tc.local, tc.remote, got)
		}
	}
}

func TestScopeDenies(t *testing.T) {
	t.Parallel()
	trees, err := tftpd.NewTrees("")
	if err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddr("10.20.0.5")
	err = trees.Put(tftpd.Tree{ID: "n", Client: client, Prefixes: []string{"c0ff0101"}, Files: map[string]tftpd.Content{"config.txt": {Data: []byte("x")}}})
	if err != nil {
		t.Fatal(err)
	}
	n := pxe.Networks{netip.MustParsePrefix("10.20.0.1/24"), netip.MustParsePrefix("10.30.0.1/24")}
	for local, want := range map[string]error{"10.20.0.1": nil, "10.30.0.1": tftpd.ErrDenied} {
		s := pxe.Scope{Source: trees, Networks: n, Local: netip.MustParseAddr(local)}
		f, err := s.Open(t.Context(), client, "c0ff0101/config.txt")
		if !errors.Is(err, want) || s.Knows(client) != (want == nil) {
			t.Errorf("at %s: %v, known %v", local, err, s.Knows(client))
		}
		if err == nil {
			_ = f.Body.Close()
		}
	}
}
