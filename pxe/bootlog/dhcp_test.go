package bootlog_test

import (
	"net/netip"
	"testing"
	"time"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/dhcpd"
)

func TestFromDHCP(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	addr := netip.MustParseAddr("10.0.0.9")
	for name, tc := range map[string]struct {
		e    dhcpd.Event
		want bootlog.Event // without what is the same in all
		ok   bool
	}{
		"offered":        {dhcpd.Event{Kind: dhcpd.Offered, ID: "n", Boot: true, Address: addr, Model: "pi4"}, bootlog.Event{Name: bootlog.DHCPFirmware, Outcome: bootlog.Started, Detail: "10.0.0.9"}, true},
		"Pi 3B":          {dhcpd.Event{Kind: dhcpd.Offered, ID: "n", Boot: true, Address: addr, Model: "pi3"}, bootlog.Event{Name: bootlog.DHCPFirmware, Detail: "10.0.0.9"}, true},
		"Pi 3B by proxy": {dhcpd.Event{Kind: dhcpd.Offered, ID: "n", Boot: true, Model: "pi3"}, bootlog.Event{Name: bootlog.DHCPFirmware, Outcome: bootlog.Started}, true},
		"taken":          {dhcpd.Event{Kind: dhcpd.Acked, ID: "n", Boot: true, Address: addr}, bootlog.Event{Name: bootlog.DHCPFirmware, Detail: "10.0.0.9"}, true},
		"kernel":         {dhcpd.Event{Kind: dhcpd.Acked, ID: "n", Address: addr}, bootlog.Event{Name: bootlog.DHCPSystem, Detail: "10.0.0.9"}, true},
		"conflict":       {dhcpd.Event{Kind: dhcpd.Conflict, ID: "n", Boot: true, Address: addr, Detail: "two"}, bootlog.Event{Name: bootlog.DHCPFirmware, Outcome: bootlog.Denied, Detail: "two"}, true},
		"stranger":       {dhcpd.Event{Kind: dhcpd.Offered, Boot: true, Address: addr}, bootlog.Event{}, false},
		"foreign server": {dhcpd.Event{Kind: dhcpd.Foreign, Detail: "there"}, bootlog.Event{}, false},
	} {
		tc.e.Time = at
		got, ok := bootlog.FromDHCP(tc.e)
		tc.want.ID, tc.want.Time, tc.want.Stage = "n", at, bootlog.StageDHCP
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
