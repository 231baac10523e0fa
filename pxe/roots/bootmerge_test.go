package roots

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
)

// bootImages are images of the kinds that there are, by their boot folder.
func bootImages() map[string][]entry {
	raspios := []entry{
		{name: "boot/firmware/kernel8.img", body: "k"}, {name: "boot/firmware/kernel_2712.img", body: "k"}, {name: "boot/firmware/kernel7l.img", body: "k"},
		{name: "boot/firmware/config.txt", body: "dtparam=audio=on\r\ncamera_auto_detect=1\r\nauto_initramfs=1\r\n\r\n[cm4]\r\notg_mode=1\r\n\r\n[all]\r\n"},
		{name: "boot/firmware/cmdline.txt", body: "console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet " +
			"init=/usr/lib/raspberrypi-sys-mods/firstboot splash cfg80211.ieee80211_regdom=GB systemd.run=/boot/firstrun.sh ds=nocloud;i=rpi odd=\"quoted value\"\nsecond line\n"},
	}
	return map[string][]entry{
		"raspios": raspios,
		"bare":    {{name: "boot/firmware/kernel8.img", body: "k"}, {name: "boot/firmware/start4.elf", body: "f"}},
		"both":    {{name: "boot/kernel8.img", body: "k"}, {name: "boot/kernel_2712.img", body: "k"}},
		"32bit":   {{name: "boot/kernel7.img", body: "k"}, {name: "boot/kernel7l.img", body: "k"}, {name: "boot/config.txt", body: "dtparam=i2c_arm=on\n"}},
		"prefix": {{name: "boot/config.txt", body: "os_prefix=new/\ncmdline=cmd.txt\nkernel=vmlinuz\n"}, {name: "boot/new/vmlinuz", body: "k"},
			{name: "boot/new/cmd.txt", body: "isolcpus=3 ro"}},
	}
}

// TestBootFilesByModel compares config.txt and cmdline.txt with the golden files
// in testdata/boot; UPDATE_GOLDEN=1 writes them anew, for a look at what changed.
func TestBootFilesByModel(t *testing.T) {
	t.Parallel()
	for name, entries := range bootImages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.image = imageOf(t, entries)
			m := w.manager(t)
			create(t, m, w.spec())
			for _, model := range []Model{"", Pi3, Pi3Plus, Pi4, Pi5} {
				spec := bootSpec(node1)
				spec.Model, spec.KernelParams = model, "%default%  cgroup_enable=memory"
				err := m.Publish(t.Context(), spec)
				if name == "32bit" && model == Pi5 {
					if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "use a 64-bit image") {
						t.Errorf("a 32-bit image on a Pi 5: %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				files := w.boot[node1].Files
				got := fmt.Sprintf("%s\n-- cmdline.txt --\n%s", files["config.txt"].Data, files["cmdline.txt"].Data)
				if p := files["new/cmdline.txt"].Data; name == "prefix" && string(p) != string(files["cmdline.txt"].Data) {
					t.Errorf("the command line below the prefix is %q", p)
				}
				if model == "" {
					model = "unknown"
				}
				golden := filepath.Join("testdata", "boot", name+"-"+string(model)+".txt")
				if os.Getenv("UPDATE_GOLDEN") != "" {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("%s (-want +got):\n%s", golden, d)
				}
			}
		})
	}
}

func TestCmdlineIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.image = imageOf(t, []entry{{name: "boot/kernel8.img", body: "k"}, {name: "boot/cmdline.txt", body: strings.Repeat("word ", 300)}})
	m := w.manager(t)
	create(t, m, w.spec())
	err := m.Publish(t.Context(), bootSpec(node1))
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "shorten") {
		t.Error(err)
	}
}

// FuzzCmdline: whatever image and deploy ask for, the line is one, says once
// where the root is, and has no quote that could hide it.
func FuzzCmdline(f *testing.F) {
	f.Add("console=tty1 root=/dev/mmcblk0p2 quiet", "cgroup_enable=memory")
	f.Add("a=\"b root=/dev/sda c\"\nroot=x", "%default%")
	f.Fuzz(func(t *testing.T, image, params string) {
		spec, err := BootSpec{NodeID: node1, Client: bootSpec(node1).Client, Server: bootSpec(node1).Server, KernelParams: params}.check()
		if err != nil {
			return
		}
		first, _, _ := strings.Cut(image, "\n")
		line, err := spec.cmdline(slices.DeleteFunc(strings.Fields(first), notForNetwork))
		if err != nil {
			return
		}
		if n := strings.Count(string(line), "\n"); n != 1 || !strings.HasSuffix(string(line), "\n") || len(line) > maxCmdline {
			t.Fatalf("%d lines, %d bytes: %q", n, len(line), line)
		}
		roots := 0
		for _, w := range strings.Fields(string(line)) {
			if strings.HasPrefix(w, "root=") || strings.HasPrefix(w, "nfsroot=") || strings.HasPrefix(w, "ip=") {
				roots++
			}
		}
		if roots != 3 || strings.Contains(string(line), `"`) || strings.ContainsFunc(strings.TrimSpace(string(line)), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", line)
		}
	})
}
