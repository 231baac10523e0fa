package pi_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
)

// TestBootLogSeesRealBoots feeds the boot log from the real servers.
func TestBootLogSeesRealBoots(t *testing.T) {
	t.Parallel()
	const addr = "127.77.5.1"
	log := bootlog.New(bootlog.Config{})
	w := newWorldWith(t, func(e tftpd.Event) {
		if b, ok := bootlog.FromTFTP(e); ok {
			log.Record(b)
		}
	}, func(e nfsd.Event) {
		if e.Client != netip.MustParseAddr(addr) {
			return
		}
		if b, ok := bootlog.FromNFS("one", time.Now(), e, "/usr/lib/init"); ok {
			log.Record(b)
		}
	})
	p := w.pi(t, pi.Pi4, addr, "0a1b2c3d")
	boot := func() {
		log.StartBoot("one", time.Now())
		p.Power(true)
	}
	expect := func(want string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			got := log.Explain("one", time.Now()).String()
			if strings.Contains(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the boot log says %q, want %q", got, want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}

	w.put(t, "one", addr, "ffffffff", w.files("one"))
	boot()
	expect("asked for 0a1b2c3d/start4.elf, which is missing: nothing that it asked for is there: its serial number")
	p.Power(false)

	files := w.files("one")
	delete(files, "kernel8.img")
	w.put(t, "one", addr, "0a1b2c3d", files)
	boot()
	expect("asked for kernel8.img which is missing")
	p.Power(false)

	w.put(t, "one", addr, "0a1b2c3d", w.files("one"))
	boot()
	expect("kernel fetched, but root was never mounted: the NFS server refused the mount of /nodes/one")
	p.Power(false)

	w.export(t, "one", addr, system())
	since := time.Now()
	boot()
	expect("init was started")
	for _, stage := range []bootlog.Stage{bootlog.StagePower, bootlog.StageFile, bootlog.StageKernel, bootlog.StageMount, bootlog.StageInit} {
		if _, ok := log.Reached("one", stage, since); !ok {
			t.Errorf("%q was not noticed", stage)
		}
	}
}
