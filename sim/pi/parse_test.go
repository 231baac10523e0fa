package pi_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/sim/pi"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	const text = "# comment\r\nkernel=a.img\n[pi3]\nkernel=pi3.img\n[pi4]\nkernel=pi4.img\nenable_uart=1\n" +
		"[0x0a1b2c3d]\nos_prefix=mine/\n[0x0a1b2c3e]\nos_prefix=other/\n[all]\n" +
		"[none]\narm_64bit=0\n[all]\ninitramfs initrd.img followkernel\ndtoverlay=gpio-shutdown,gpio_pin=3\n dtoverlay = disable-bt \n" +
		"[pi5]\n[0x0a1b2c3d]\ncmdline=pi5.txt\n[tryboot]\nuart_2ndstage=1\nnonsense\n=\n[broken\nkernel=never.img\n"
	base := pi.BootConfig{Kernel: "a.img", Cmdline: "cmdline.txt", Arm64: true, Initramfs: []string{"initrd.img"}, Overlays: []string{"gpio-shutdown", "disable-bt"}}
	four := base
	four.Kernel, four.UART, four.Prefix = "pi4.img", true, "mine/"
	if d := cmp.Diff(four, pi.ParseConfig([]byte(text), pi.Pi4, 0x0a1b2c3d)); d != "" {
		t.Errorf("pi4 (-want +got):\n%s", d)
	}
	five := base
	five.Cmdline = "pi5.txt"
	if d := cmp.Diff(five, pi.ParseConfig([]byte(text), pi.Pi5, 0x0a1b2c3d)); d != "" {
		t.Errorf("pi5 (-want +got):\n%s", d)
	}
	three := base
	three.Kernel = "pi3.img"
	if d := cmp.Diff(three, pi.ParseConfig([]byte(text), pi.Pi3, 1)); d != "" {
		t.Errorf("pi3 (-want +got):\n%s", d)
	}
}

func TestFirmwareCmdline(t *testing.T) {
	t.Parallel()
	file := []byte("console=serial0,115200 console=tty1 root=/dev/nfs\nsecond=line")
	for _, c := range []struct {
		model pi.Model
		conf  pi.BootConfig
		want  string
	}{
		{pi.Pi4, pi.BootConfig{UART: true}, "8250.nr_uarts=1 smsc95xx.macaddr=DC:A6:32:01:36:C2 vc_mem.mem_base=0x3ec00000 vc_mem.mem_size=0x40000000 console=ttyS0,115200 console=tty1 root=/dev/nfs"},
		{pi.Pi4, pi.BootConfig{Overlays: []string{"disable-bt"}}, "8250.nr_uarts=0 smsc95xx.macaddr=DC:A6:32:01:36:C2 vc_mem.mem_base=0x3ec00000 vc_mem.mem_size=0x40000000 console=ttyAMA0,115200 console=tty1 root=/dev/nfs"},
		{pi.Pi5, pi.BootConfig{UART: true}, "8250.nr_uarts=1 smsc95xx.macaddr=DC:A6:32:01:36:C2 vc_mem.mem_base=0x3ec00000 vc_mem.mem_size=0x40000000 console=ttyAMA0,115200 console=tty1 root=/dev/nfs"},
	} {
		got := pi.FirmwareCmdline(file, c.model, &c.conf, "dc:a6:32:01:36:c2", "")
		if want := "coherent_pool=1M " + c.want; got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.model, got, want)
		}
	}
}

func TestParseRoot(t *testing.T) {
	t.Parallel()
	client := netip.MustParseAddr("10.0.0.7")
	server := netip.MustParseAddr("10.0.0.1")
	for line, want := range map[string]any{
		"root=/dev/nfs nfsroot=10.0.0.1:/x/%s,vers=3,tcp,mountport=5,rsize=131072,wsize=9999999 ip=dhcp": pi.Root{
			Server: server, Path: "/x/10.0.0.7", Port: 2049, MountPort: 5, RSize: 131072, WSize: 1 << 20},
		"root=x root=/dev/nfs nfsroot=10.0.0.1:/x,port=7,mountport=8": pi.Root{
			Server: server, Path: "/x", Port: 7, MountPort: 8, RSize: 4096, WSize: 4096},
		"root=/dev/sda1": "root= is not /dev/nfs",
		"root=/dev/nfs":  "names no server",
		"root=/dev/nfs nfsroot=srv:/x,mountport=1":        "must be an address",
		"root=/dev/nfs nfsroot=10.0.0.1:x,mountport=1":    "must begin with a slash",
		"root=/dev/nfs nfsroot=10.0.0.1:/x,vers=4.1":      "only version 3",
		"root=/dev/nfs nfsroot=10.0.0.1:/x,proto=udp":     "only TCP",
		"root=/dev/nfs nfsroot=10.0.0.1:/x,udp":           "not supported",
		"root=/dev/nfs nfsroot=10.0.0.1:/x":               "no mountport=",
		"root=/dev/nfs nfsroot=10.0.0.1:/x,mountport=x":   "no mountport=",
		"root=/dev/nfs nfsroot=10.0.0.1:/x,mountport=1e9": "no mountport=",
	} {
		got, err := pi.ParseRoot(line, client)
		switch want := want.(type) {
		case pi.Root:
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v", line, got, err)
			}
		case string:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %+v, %v; want %q", line, got, err, want)
			}
		}
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	good := pi.Config{
		MAC: "dc:a6:32:01:36:c2", Serial: "0a1b2c3d", Address: netip.MustParseAddr("127.77.1.1"),
		TFTP: netip.MustParseAddrPort("127.0.0.1:69"), Line: newLine(),
	}
	if _, err := pi.New(good); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*pi.Config){
		"model":   func(c *pi.Config) { c.Model = "pi6" },
		"mac":     func(c *pi.Config) { c.MAC = "dc:a6" },
		"long":    func(c *pi.Config) { c.MAC = "dc:a6:32:01:36:c2:00:01" },
		"serial":  func(c *pi.Config) { c.Serial = "0A1B2C3D" },
		"short":   func(c *pi.Config) { c.Serial = "0a1b" },
		"address": func(c *pi.Config) { c.Address = netip.Addr{} },
		"tftp":    func(c *pi.Config) { c.TFTP = netip.AddrPort{} },
		"line":    func(c *pi.Config) { c.Line = nil },
	} {
		c := good
		change(&c)
		if _, err := pi.New(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("[pi4]\nkernel=x\n[0x0a1b2c3d]\ndtoverlay=a,b=c\ninitramfs x followkernel\n[all]"), []byte("console=serial0,115200 root=/dev/nfs nfsroot=10.0.0.1:/x,mountport=1"))
	f.Add([]byte("[\r\n=\n[0x]\n[0xzz]"), []byte("console=serial0\n\"nfsroot="))
	client := netip.MustParseAddr("10.0.0.7")
	f.Fuzz(func(t *testing.T, config, cmdline []byte) {
		conf := pi.ParseConfig(config, pi.Pi4, 0x0a1b2c3d)
		line := pi.FirmwareCmdline(cmdline, pi.Pi4, &conf, "dc:a6:32:01:36:c2", "")
		if strings.Contains(line, "\n") {
			t.Errorf("the command line has several lines: %q", line)
		}
		root, err := pi.ParseRoot(line, client)
		if err == nil && (!root.Server.IsValid() || root.RSize < 1024 || root.RSize > 1<<20 || root.MountPort == 0) {
			t.Errorf("%q gives %+v", line, root)
		}
	})
}
