package pi_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
)

func TestPi4BootsToAPrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export(t, "one", "127.77.1.1", system())
	w.put(t, "one", "127.77.1.1", "0a1b2c3d", w.files("one"))
	p := w.pi(t, pi.Pi4, "127.77.1.1", "0a1b2c3d")
	if p.Alive() || p.HonoursShutdown() {
		t.Error("signs of life without power")
	}
	p.Power(true)
	for _, s := range []pi.Stage{pi.StagePower, pi.StageConfig, pi.StageKernel, pi.StageMount, pi.StageInit, pi.StageLogin} {
		p.stage(t, s)
	}
	p.wait(t, 0, "root@caddy-one:~# ")
	text := p.text()
	for _, want := range []string{
		"0a1b2c3d/start4.elf: 20000 bytes", "Kernel command line: coherent_pool=1M", " console=ttyS0,115200 ",
		"VFS: Mounted root (nfs filesystem)", "Run /sbin/init as init process", "Welcome to Test Linux 1[31m!",
		"Wrote /var/lib/caddyshack-boot",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	want := []string{
		"probe start4.elf", "done config.txt", "missing pieeprom.sig", "missing vl805.sig", "missing recover4.elf",
		"missing recovery.elf", "done start4.elf", "done fixup4.dat", "missing recovery.elf", "done config.txt",
		"missing dt-blob.bin", "done config.txt", "done bcm2711-rpi-4-b.dtb", "missing overlays/overlay_map.dtb",
		"done overlays/gpio-shutdown.dtbo", "done cmdline.txt", "done kernel8.img", "missing armstub8-gic.bin",
	}
	slices.Sort(want) // the events of two requests may come in either order
	got := w.requests()
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	if !p.Alive() || !p.HonoursShutdown() {
		t.Error("a booted Pi with the overlay shows no signs of life")
	}

	for command, want := range map[string]string{
		"hostname":             "caddy-one\n",
		"uname -a":             "Linux caddy-one 6.12.47-v8+ #1 SMP PREEMPT aarch64 GNU/Linux\n",
		"cat /etc/hostname":    "caddy-one\n",
		"cat /etc/../etc/nope": "cat: /etc/../etc/nope: no such file or directory\n",
		"cat /etc":             "cat: /etc: is a directory\n",
		"ls /usr/sbin":         "init@\n",
		"ls /":                 "etc/\nsbin@\nusr/\nvar/\n",
		"ls /var/lib":          "caddyshack-boot\n",
		"echo  a   b":          "a b\n",
		"frobnicate -v":        "sh: frobnicate: not found\n",
	} {
		if got := p.run(t, command); got != want {
			t.Errorf("%s printed %q, want %q", command, got, want)
		}
	}
	if got := p.run(t, "cat /var/lib/caddyshack-boot"); !strings.HasPrefix(got, "serial=0a1b2c3d mac=dc:a6:32:01:36:c2 booted=") {
		t.Errorf("the file written at boot holds %q", got)
	}
	if got := p.run(t, "dmesg"); !strings.Contains(got, "Machine model: Raspberry Pi 4") {
		t.Errorf("dmesg: %q", got)
	}
	for _, command := range []string{"help", "uptime"} {
		if p.run(t, command) == "" {
			t.Errorf("%s printed nothing", command)
		}
	}
	// Editing: backspace, an arrow key, ^C.
	if got := p.run(t, "echo"); got != "\n" {
		t.Errorf("echo printed %q", got)
	}
	from := len(p.text())
	p.enter("echo xy\x7f\x1b[Az\r")
	from = p.wait(t, from, "xz\r\n")
	p.enter("rubbish\x03")
	p.wait(t, from, "^C\r\nroot@caddy-one:~# ")
}

func TestInterruptedCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := append(system(), entry{name: "etc/big", text: strings.Repeat("0123456789abcde\n", 4<<20)})
	w.export(t, "one", "127.77.1.8", files)
	w.put(t, "one", "127.77.1.8", "0a1b2c3d", w.files("one"))
	p := w.pi(t, pi.Pi4, "127.77.1.8", "0a1b2c3d")
	p.Power(true)
	from := p.wait(t, 0, "root@caddy-one:~# ")
	p.enter("cat /etc/big\r")
	from = p.wait(t, from, "0123456789abcde\r\n")
	p.enter("\x03")
	from = p.wait(t, from, "^C\r\n")
	p.wait(t, from, "root@caddy-one:~# ")
	if n := len(p.text()); n > 60<<20 {
		t.Errorf("%d bytes were printed: the command was not stopped", n)
	}
	// The connection to the server is in order again.
	if got := p.run(t, "cat /etc/hostname"); got != "caddy-one\n" {
		t.Errorf("afterwards: %q", got)
	}
}

func TestRebootPoweroffReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export(t, "one", "127.77.1.2", system())
	w.put(t, "one", "127.77.1.2", "0a1b2c3d", w.files("one"))
	p := w.pi(t, "", "127.77.1.2", "0a1b2c3d")
	p.Power(true)
	p.stage(t, pi.StageLogin)
	p.enter("reboot\r")
	p.stage(t, pi.StagePower)
	p.stage(t, pi.StageLogin)
	p.Reset()
	p.stage(t, pi.StagePower)
	p.stage(t, pi.StageLogin)
	p.enter("poweroff\r")
	p.stage(t, pi.StageHalted)
	if p.Alive() || p.HonoursShutdown() {
		t.Error("a halted Pi shows signs of life")
	}
	if !strings.HasSuffix(p.text(), "reboot: Power down\r\n") {
		t.Errorf("last words: %q", p.text()[max(0, len(p.text())-100):])
	}
	p.Power(false)
	p.Power(true)
	p.stage(t, pi.StageLogin)
	p.ShutdownRequest()
	p.stage(t, pi.StageHalted)
	if p.Alive() {
		t.Error("alive after the shutdown that was asked for")
	}
}

func TestShutdownNeedsTheOverlay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export(t, "one", "127.77.1.3", system())
	files := w.files("one")
	files["config.txt"] = tftpd.Content{Data: []byte("enable_uart=1\n[pi5]\ndtoverlay=gpio-shutdown\n")}
	w.put(t, "one", "127.77.1.3", "0a1b2c3d", files)
	p := w.pi(t, pi.Pi4, "127.77.1.3", "0a1b2c3d")
	p.Power(true)
	p.stage(t, pi.StageLogin)
	if p.HonoursShutdown() {
		t.Error("would heed a shutdown request without the overlay")
	}
	p.ShutdownRequest()
	if got := p.run(t, "echo still here"); got != "still here\n" || !p.Alive() {
		t.Errorf("after the request: %q", got)
	}
}

func TestPowerCutStopsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export(t, "one", "127.77.1.4", system())
	w.put(t, "one", "127.77.1.4", "0a1b2c3d", w.files("one"))
	p := w.pi(t, pi.Pi4, "127.77.1.4", "0a1b2c3d")
	for _, stage := range []pi.Stage{pi.StagePower, pi.StageConfig, pi.StageKernel, pi.StageMount, pi.StageInit, pi.StageLogin} {
		p.Power(true)
		p.stage(t, stage)
		p.Power(false)
		printed := len(p.text())
		begin := time.Now()
		p.Close()
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("cut at %q: still running after %v", stage, d)
		}
		if more := p.text()[printed:]; more != "" {
			t.Errorf("cut at %q: printed %q afterwards", stage, more)
		}
		p.stage(t, pi.StageOff)
		if p.Alive() {
			t.Errorf("cut at %q: alive", stage)
		}
	}
	// Many quick switches end in a running Pi.
	for range 50 {
		p.Power(true)
		p.Power(false)
	}
	p.Power(true)
	p.stage(t, pi.StageLogin)
}

func TestOtherModels(t *testing.T) {
	t.Parallel()
	text := func(s string) tftpd.Content { return tftpd.Content{Data: []byte(s)} }
	t.Run("pi3", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.export(t, "one", "127.77.1.5", system())
		w.put(t, "one", "127.77.1.5", "0a1b2c3d", map[string]tftpd.Content{
			"bootcode.bin": text("rom"), "start.elf": text("s"), "fixup.dat": text("f"), "config.txt": text(configText),
			"bcm2710-rpi-3-b.dtb": text("d"), "cmdline.txt": text(w.cmdline("one")), "kernel8.img": text("kernel"),
		})
		p := w.pi(t, pi.Pi3, "127.77.1.5", "0a1b2c3d")
		p.Power(true)
		p.stage(t, pi.StageLogin)
		if got := w.requests(); !slices.Contains(got, "done bootcode.bin") || !slices.Contains(got, "missing bootsig.bin") {
			t.Errorf("the ROM asked for %q", got)
		}
	})
	t.Run("pi5", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.export(t, "one", "127.77.1.6", system())
		w.put(t, "one", "127.77.1.6", "0a1b2c3d", map[string]tftpd.Content{
			"config.txt":          text("[pi5]\ndtparam=uart0_console\ndtoverlay=gpio-shutdown\n"),
			"bcm2712-rpi-5-b.dtb": text("d"), "cmdline.txt": text(w.cmdline("one")), "kernel8.img": text("kernel"),
		})
		p := w.pi(t, pi.Pi5, "127.77.1.6", "0a1b2c3d")
		p.Power(true)
		p.stage(t, pi.StageLogin)
		if got := w.requests(); !slices.Contains(got, "missing kernel_2712.img") || slices.Contains(got, "missing start4.elf") {
			t.Errorf("asked for %q", got)
		}
		if !strings.Contains(p.text(), "console=ttyAMA0,115200") || !p.HonoursShutdown() {
			t.Errorf("printed:\n%s", p.text())
		}
	})
}

func TestPlainDevice(t *testing.T) {
	t.Parallel()
	l := newLine()
	d, err := pi.NewPlain(pi.PlainConfig{Banner: pi.SwitchBanner, Prompt: pi.SwitchPrompt, Line: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	d.Power(true)
	at := l.wait(t, 0, "16 ports ready\r\nswitch> ")
	l.enter("show\r")
	at = l.wait(t, at, "show: unknown command\r\nswitch> ")
	d.Reset()
	l.wait(t, at, "switch> ")
	d.ShutdownRequest()
	if !d.Alive() || d.HonoursShutdown() {
		t.Error("a switch cannot be shut down")
	}
	d.Power(false)
	if d.Alive() {
		t.Error("alive without power")
	}
}
