package dhcpd_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"caddyshack/pxe/dhcpd"
)

func TestIdentify(t *testing.T) {
	t.Parallel()
	const mac4, mac3 = "dc:a6:32:01:36:c2", "b8:27:eb:11:22:33"
	early := id4(t, "RPi4", mac4, "0a1b2c3d")
	clear(early[8:12]) // EEPROM of March 2020
	for name, tc := range map[string]struct {
		mac  string
		mod  dhcpv4.Modifier
		want dhcpd.Asker
	}{
		"Pi 3B":          {mac3, firmware(idPi3()), dhcpd.Asker{Boot: true, Pi: true, Model: "pi3"}},
		"Pi 3B+":         {mac3, firmware(idRepeated(t, "0a1b2c3d")), dhcpd.Asker{Boot: true, Pi: true, Model: "pi3plus", Serial: "0a1b2c3d", AltSerial: "3d2c1b0a"}},
		"Pi 4, option 0": {mac4, firmware(idRepeated(t, "0a1b2c3d")), dhcpd.Asker{Boot: true, Pi: true, Serial: "0a1b2c3d", AltSerial: "3d2c1b0a"}},
		"Pi 4":           {mac4, firmware(id4(t, "RPi4", mac4, "0a1b2c3d")), dhcpd.Asker{Boot: true, Pi: true, Model: "pi4", Serial: "0a1b2c3d", AltSerial: "3d2c1b0a", Revision: 0xc03114}},
		"Pi 4, early":    {mac4, firmware(early), dhcpd.Asker{Boot: true, Pi: true, Model: "pi4", Serial: "0a1b2c3d", AltSerial: "3d2c1b0a", Revision: 0xc03114}},
		"Pi 5":           {mac4, firmware(id4(t, "RPi5", mac4, "0a1b2c3d")), dhcpd.Asker{Boot: true, Pi: true, Model: "pi5", Serial: "0a1b2c3d", AltSerial: "3d2c1b0a", Revision: 0xc03114}},
		"Pi 6":           {mac4, firmware(id4(t, "RPi6", mac4, "0a1b2c3d")), dhcpd.Asker{Boot: true, Pi: true, Serial: "0a1b2c3d", AltSerial: "3d2c1b0a", Revision: 0xc03114}},
		"another's MAC":  {mac4, firmware(id4(t, "RPi4", mac3, "0a1b2c3d")), dhcpd.Asker{Boot: true}},
		"PC":             {mac4, firmware([]byte("0123456789abcdef")), dhcpd.Asker{Boot: true}},
		"PC without id":  {mac4, firmware(make([]byte, 16)), dhcpd.Asker{Boot: true}},
		"short id":       {mac4, firmware([]byte("RPi4")), dhcpd.Asker{Boot: true}},
		"kernel":         {mac4, option(55, 1, 3, 6, 12, 15, 17, 26, 40, 42), dhcpd.Asker{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.want.MAC = tc.mac
			got := dhcpd.Identify(ask(t, tc.mac, dhcpv4.MessageTypeDiscover, tc.mod))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
