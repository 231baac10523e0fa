package pi_test

import (
	"net/netip"
	"testing"
	"time"

	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
)

// Each model gets its address from the DHCP server, by firmware and by kernel,
// and boots from there.
func TestPisAskForTheirAddress(t *testing.T) {
	t.Parallel()
	for i, model := range []pi.Model{pi.Pi3, pi.Pi3Plus, pi.Pi4, pi.Pi5} {
		for _, early := range []bool{false, true} {
			name := string(model)
			if early {
				if model != pi.Pi4 {
					continue
				}
				name += " early"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				addr := netip.AddrFrom4([4]byte{127, 78, byte(i), 9})
				if early {
					addr = addr.Next()
				}
				const serial = "0a1b2c3d"
				w.export(t, "one", addr.String(), system())
				files := w.files("one")
				for _, n := range []string{"bootcode.bin", "start.elf", "fixup.dat", "bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2712-rpi-5-b.dtb"} {
					files[n] = tftpd.Content{Data: []byte(n)}
				}
				w.put(t, "one", addr.String(), serial, files)
				table, err := dhcpd.OpenTable(dhcpd.TableConfig{Subnet: netip.MustParsePrefix("127.0.0.0/8")})
				if err != nil {
					t.Fatal(err)
				}
				const mac = "b8:27:eb:1b:2c:3d"
				if _, err := table.Register(dhcpd.Machine{ID: "one", Name: "caddy-one", MAC: mac, Serial: serial, Address: addr}); err != nil {
					t.Fatal(err)
				}
				events := make(chan dhcpd.Event, 100)
				server, err := dhcpd.Listen(t.Context(), dhcpd.Config{
					Listen: "127.0.0.1:0", Mode: dhcpd.Full, Machines: table, OnEvent: func(e dhcpd.Event) { events <- e },
					Given: dhcpd.Given{Server: netip.MustParseAddr("127.0.0.1"), Subnet: netip.MustParsePrefix("127.0.0.0/8")},
				})
				if err != nil {
					t.Fatal(err)
				}
				serve(t, server.Serve)
				p := &testPi{line: newLine(), events: make(chan pi.Event, 1000)}
				p.Pi, err = pi.New(pi.Config{
					Model: model, MAC: mac, Serial: serial, Line: p.line, OnEvent: func(e pi.Event) { p.events <- e },
					DHCP: &pi.DHCP{Server: server.Addr(), TFTPPort: w.tftp.Addr().Port(), Early: early},
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Close)
				p.Power(true)
				if e := p.stage(t, pi.StageAddress); e.Detail != addr.String() {
					t.Errorf("address %s, want %s", e.Detail, addr)
				}
				p.stage(t, pi.StageLogin)
				var kinds []string
				for len(events) > 0 {
					e := <-events
					kind := string(e.Kind)
					if e.Boot {
						kind += " boot"
					}
					kinds = append(kinds, kind)
					if e.Boot && e.Serial != "" && e.Serial != serial || e.ID != "one" {
						t.Errorf("event %+v", e)
					}
				}
				want := []string{"offered boot", "acked boot", "offered", "acked"}
				if model == pi.Pi3 {
					want = []string{"offered boot", "offered", "acked"}
				}
				if len(kinds) != len(want) {
					t.Errorf("events %v, want %v", kinds, want)
				}
				for i := range want {
					if i < len(kinds) && kinds[i] != want[i] {
						t.Errorf("events %v, want %v", kinds, want)
						break
					}
				}
			})
		}
	}
}

// Nobody answers: a Pi 3's ROM gives up for good, a Pi 4 goes on.
func TestPisWithoutAnswer(t *testing.T) {
	t.Parallel()
	for model, want := range map[pi.Model]string{
		pi.Pi3: "no DHCP answer with a boot server: gave up until power is cut",
	} {
		p := &testPi{line: newLine(), events: make(chan pi.Event, 1000)}
		var err error
		p.Pi, err = pi.New(pi.Config{
			Model: model, MAC: "b8:27:eb:1b:2c:3d", Serial: "0a1b2c3d", Line: p.line, OnEvent: func(e pi.Event) { p.events <- e },
			DHCP: &pi.DHCP{Server: netip.MustParseAddrPort("127.0.0.1:9"), Interval: 10 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		p.Power(true)
		if e := p.stage(t, pi.StageFailed); e.Detail != want {
			t.Errorf("%s: %s", model, e.Detail)
		}
		p.Power(false)
		p.Power(true)
		p.stage(t, pi.StageFailed)
	}
}
