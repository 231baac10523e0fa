package pi_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
	"caddyshack/sim/unit"
)

// A unit of the simulated chassis can hold both.
var (
	_ unit.Device = (*pi.Pi)(nil)
	_ unit.Device = (*pi.Plain)(nil)
)

// TestSaysWhatFailedAndGoesOn breaks one thing, reads the reason on the serial
// line, mends it, and sees the Pi boot by itself.
func TestSaysWhatFailedAndGoesOn(t *testing.T) {
	t.Parallel()
	text := func(s string) tftpd.Content { return tftpd.Content{Data: []byte(s)} }
	const addr, serial = "127.77.4.1", "0a1b2c3d"
	for name, c := range map[string]struct {
		files  func(w *world, files map[string]tftpd.Content)
		system func([]entry) []entry
		client string // of the export, if another
		want   string
	}{
		"no files": {
			files: func(_ *world, f map[string]tftpd.Content) { clear(f) },
			want:  "Boot failed: the TFTP server has no start4.elf, neither under 0a1b2c3d/ nor in its root",
		},
		"no kernel": {
			files: func(_ *world, f map[string]tftpd.Content) { delete(f, "kernel8.img") },
			want:  `Boot failed: kernel "kernel8.img" not found`,
		},
		"empty kernel": {
			files: func(_ *world, f map[string]tftpd.Content) { f["kernel8.img"] = text("") },
			want:  `Boot failed: the kernel "kernel8.img" is empty`,
		},
		"no device tree": {
			files: func(_ *world, f map[string]tftpd.Content) { delete(f, "bcm2711-rpi-4-b.dtb") },
			want:  `0a1b2c3d/bcm2711-rpi-4-b.dtb: not found`,
		},
		"no root": {
			files: func(_ *world, f map[string]tftpd.Content) {
				f["cmdline.txt"] = text("console=serial0,115200 root=/dev/mmcblk0p2 ip=dhcp")
			},
			want: "Kernel panic - not syncing: VFS: Unable to mount root fs: root= is not /dev/nfs",
		},
		"no ip": {
			files: func(w *world, f map[string]tftpd.Content) {
				f["cmdline.txt"] = text(strings.Replace(w.cmdline("one"), "ip=dhcp", "", 1))
			},
			want: "ip= is missing",
		},
		"another's export": {client: "127.77.4.2", want: "Kernel panic - not syncing: VFS: Unable to mount root fs via NFS"},
		"no init": {
			system: func(e []entry) []entry { return append(e[:8:8], entry{name: "var/"}) },
			want:   "Kernel panic - not syncing: No working init found.",
		},
		"init for another machine": {
			system: func(e []entry) []entry {
				e[8].text = "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x3e\x00" + strings.Repeat("\x00", 100)
				return e
			},
			want: "Failed to execute /sbin/init: exec format error: the program is for EM_X86_64, not for ARM",
		},
		"init not executable": {
			system: func(e []entry) []entry { e[8].mode = 0o644; return e },
			want:   "Failed to execute /sbin/init: permission denied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			root := system()
			if c.system != nil {
				root = c.system(root)
			}
			client := addr
			if c.client != "" {
				client = c.client
			}
			w.export(t, "one", client, root)
			files := w.files("one")
			if c.files != nil {
				c.files(w, files)
			}
			w.put(t, "one", addr, serial, files)
			p := w.pi(t, pi.Pi4, addr, serial)
			p.Power(true)
			at := p.wait(t, 0, c.want)
			p.stage(t, pi.StageFailed)
			at = p.wait(t, at, "Trying again in ")
			if err := w.nfs.RemoveExport(t.Context(), "one"); err != nil {
				t.Fatal(err)
			}
			w.export(t, "one", addr, system())
			w.put(t, "one", addr, serial, w.files("one"))
			p.wait(t, at, "root@caddy-one:~# ")
		})
	}
}

func TestUnknownSerialBootsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(t, "one", "127.77.4.3", "0a1b2c3d", w.files("one"))
	p := w.pi(t, pi.Pi4, "127.77.4.3", "ffffffff")
	p.Power(true)
	p.wait(t, 0, "neither under ffffffff/ nor in its root")
	// Nor does the right serial from a wrong address.
	q := w.pi(t, pi.Pi4, "127.77.4.4", "0a1b2c3d")
	q.Power(true)
	q.wait(t, 0, "neither under 0a1b2c3d/ nor in its root")
}

// TestServerAway starts a Pi before there is a TFTP server, and takes the NFS
// server away from one that runs.
func TestServerAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export(t, "one", "127.77.4.5", system())
	stop := restartable(t, w)
	w.put(t, "one", "127.77.4.5", "0a1b2c3d", w.files("one"))
	p := w.pi(t, pi.Pi4, "127.77.4.5", "0a1b2c3d")
	p.Power(true)
	p.stage(t, pi.StageLogin)
	again := stop()
	from := len(p.text())
	p.enter("cat /etc/hostname\r")
	from = p.wait(t, from, "nfs: server 127.0.0.1 not responding, still trying")
	again()
	from = p.wait(t, from, "nfs: server 127.0.0.1 OK")
	p.wait(t, from, "caddy-one\r\nroot@caddy-one:~# ")
}

// restartable puts a server on the world's NFS port through a relay that can
// be stopped: the connections are cut and new ones are refused.
func restartable(t *testing.T, w *world) (stop func() (again func())) {
	t.Helper()
	real := w.nfs.BoundAddr().String()
	listen := func(addr string) net.Listener {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := listen("127.0.0.1:0")
	addr := l.Addr().String()
	w.port = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(t.Context())
	go relay(ctx, l, real)
	return func() func() {
		cancel()
		_ = l.Close()
		return func() {
			l := listen(addr)
			t.Cleanup(func() { _ = l.Close() })
			go relay(t.Context(), l, real)
		}
	}
}

// relay passes connections on, each from the client's own address.
func relay(ctx context.Context, l net.Listener, to string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: in.RemoteAddr().(*net.TCPAddr).IP}}
		out, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			context.AfterFunc(ctx, func() { _ = pair[0].Close() })
			go func() {
				defer func() { _ = pair[0].Close() }()
				buf := make([]byte, 64<<10)
				for {
					n, err := pair[1].Read(buf)
					if err != nil {
						return
					}
					if _, err := pair[0].Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}
}

// TestLossyTFTP boots through a relay that loses every seventeenth packet.
func TestLossyTFTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export(t, "one", "127.77.4.6", system())
	files := w.files("one")
	files["kernel8.img"] = tftpd.Content{Data: []byte(strings.Repeat("k", 10_000))}
	w.put(t, "one", "127.77.4.6", "0a1b2c3d", files)
	l := newLine()
	events := make(chan pi.Event, 100)
	p, err := pi.New(pi.Config{
		MAC: "dc:a6:32:01:36:c2", Serial: "0a1b2c3d", Address: netip.MustParseAddr("127.77.4.6"),
		TFTP: lossy(t, w.tftp.Addr(), 17), Line: l, OnEvent: func(e pi.Event) { events <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Power(true)
	(&testPi{Pi: p, line: l, events: events}).stage(t, pi.StageLogin)
	if strings.Contains(l.text(), "Boot failed") {
		t.Errorf("packet loss was not got over:\n%s", l.text())
	}
}

// lossy is a TFTP relay that loses every n-th packet. Each request gets a port
// of its own towards the client, and towards the server the client's address.
func lossy(t *testing.T, server netip.AddrPort, n int) netip.AddrPort {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close() })
	lost := make(chan bool)
	go func() {
		for i := 1; ; i++ {
			select {
			case lost <- i%n == 0:
			case <-t.Context().Done():
				return
			}
		}
	}()
	lose := func() bool {
		select {
		case l := <-lost:
			return l
		case <-t.Context().Done():
			return true
		}
	}
	pass := func(from, to *net.UDPConn, addr func(netip.AddrPort) netip.AddrPort) {
		buf := make([]byte, 2048)
		for {
			_ = from.SetReadDeadline(time.Now().Add(20 * time.Second))
			n, src, err := from.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if dst := addr(src); !lose() {
				_, _ = to.WriteToUDPAddrPort(buf[:n], dst)
			}
		}
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, client, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if lose() {
				continue
			}
			side, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				return
			}
			back, err := net.ListenUDP("udp4", &net.UDPAddr{IP: client.Addr().AsSlice()})
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = side.Close(); _ = back.Close() })
			tid := make(chan netip.AddrPort, 1)
			tid <- server
			go pass(back, side, func(src netip.AddrPort) netip.AddrPort { <-tid; tid <- src; return client })
			go pass(side, back, func(netip.AddrPort) netip.AddrPort { to := <-tid; tid <- to; return to })
			_, _ = back.WriteToUDPAddrPort(buf[:n], server)
		}
	}()
	return front.LocalAddr().(*net.UDPAddr).AddrPort()
}
