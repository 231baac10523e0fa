package roots

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"caddyshack/baremetal"
	"caddyshack/pxe/images"
)

func bootSpec(id string) BootSpec {
	return BootSpec{
		NodeID: id, Client: netip.MustParseAddr("127.77.1.2"), MAC: "DC:A6:32:01:36:C2", Serial: "10000000ABCD1234",
		Server: netip.MustParseAddr("127.0.0.1"), NFSPort: 20490, KernelParams: "quiet  loglevel=3",
	}
}

func create(t *testing.T, m *Manager, s Spec) Root {
	t.Helper()
	root, err := m.Create(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestCreateMendsTheRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := create(t, w.manager(t), w.spec())
	if root.Digest != w.image.Digest || root.Entries != int64(len(rootEntries())) {
		t.Errorf("root is %+v", root)
	}
	got := map[string]string{}
	for _, n := range []string{"etc/hostname", "etc/hosts", "etc/fstab", "etc/machine-id", "etc/ssh/ssh_host_ed25519_key",
		"etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/sshd_config", "etc/os-release"} {
		got[n] = w.file(t, node1, n)
	}
	for _, n := range []string{"etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub"} {
		if len(got[n]) > len("secret") {
			got[n] = "(fresh)"
		}
	}
	if id := got["etc/machine-id"]; regexp.MustCompile(`^[0-9a-f]{32}\n$`).MatchString(id) && !strings.HasPrefix(id, "0123456789abcdef") {
		got["etc/machine-id"] = "(fresh)"
	}
	want := map[string]string{
		"etc/hostname": "caddy-1.example\n",
		"etc/hosts":    "127.0.0.1\tlocalhost\n127.0.1.1\tcaddy-1.example caddy-1\n",
		"etc/fstab": "proc /proc proc defaults 0 0\n# /dev/mmcblk0p9 comment\n# not on this node: PARTUUID=1-02 / ext4 defaults 0 1\n" +
			"# not on this node: /dev/mmcblk0p1 /boot/firmware vfat defaults 0 2\nLABEL=data /srv ext4 nofail 0 2\n# not on this node: /swapfile none swap sw 0 0\n",
		"etc/machine-id":                   "(fresh)",
		"etc/ssh/ssh_host_ed25519_key":     "(fresh)",
		"etc/ssh/ssh_host_ed25519_key.pub": "(fresh)",
		"etc/ssh/sshd_config":              "x",
		"etc/os-release":                   "ID=test\n",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("mended files (-want +got):\n%s", d)
	}
}

func TestMendingFollowsNoLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.image = imageOf(t, []entry{
		{name: "etc/hostname", link: victim}, {name: "etc/hosts", link: victim}, {name: "etc/fstab", link: victim},
		{name: "etc/machine-id", link: victim}, {name: "etc/ssh", link: filepath.Dir(victim)},
		{name: "boot/kernel8.img", body: "k"}, {name: "boot/firmware", link: "/etc"},
	})
	m := w.manager(t)
	create(t, m, w.spec())
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(victim)
	if err != nil || string(b) != "untouched" {
		t.Errorf("a file outside the root became %q, %v", b, err)
	}
	if got := w.file(t, node1, "etc/hostname"); got != "caddy-1.example\n" {
		t.Errorf("hostname is %q", got)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	first := create(t, m, w.spec())
	path := filepath.Join(w.dir, "nodes", node1, "root", "tree", "written-by-node")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The image is not even needed any more.
	again := w.spec()
	again.Image.Path = "/nonexistent"
	if d := cmp.Diff(first, create(t, m, again)); d != "" {
		t.Errorf("second Create (-first +second):\n%s", d)
	}
	if got := w.file(t, node1, "written-by-node"); got != "" {
		t.Error("the same generation lost what the node wrote")
	}
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	next := w.spec()
	next.Generation = "deploy-2"
	create(t, m, next)
	if got := w.file(t, node1, "written-by-node"); got != "(none)" {
		t.Error("another generation kept what the node wrote")
	}
	if len(w.exports) != 0 || len(w.boot) != 0 {
		t.Error("the root was replaced while it was served")
	}
}

// points returns the names of all points that work passes.
func points(t *testing.T, work func(m *Manager) error) []string {
	t.Helper()
	w := newWorld(t)
	m := w.manager(t)
	var names []string
	m.step = func(name string) error { names = append(names, name); return nil }
	if err := work(m); err != nil {
		t.Fatal(err)
	}
	return names
}

// errCrash stands for the end of the process.
var errCrash = errors.New("crash")

func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	life := func(ctx context.Context, w *world, m *Manager) error {
		spec, boot := w.spec(), bootSpec(node1)
		if _, err := m.Create(ctx, spec, nil); err != nil {
			return err
		}
		return m.Publish(ctx, boot)
	}
	if err := life(t.Context(), w, w.manager(t)); err != nil {
		t.Fatal(err)
	}
	want := w.snapshot(t)
	all := points(t, func(m *Manager) error {
		_, err := m.Create(t.Context(), w.spec(), nil)
		return errors.Join(err, m.Publish(t.Context(), bootSpec(node1)), m.Remove(t.Context(), node1))
	})
	if len(all) < 20 {
		t.Fatalf("only %d points: %q", len(all), all)
	}
	// A panic, unlike an error, runs none of the code that tidies up after
	// itself except deferred calls, which is near to a crash.
	for i := range all {
		for _, how := range []string{"error", "panic"} {
			t.Run(fmt.Sprintf("%02d %s %s", i, strings.ReplaceAll(all[i], "/", "_"), how), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				m, n := w.manager(t), 0
				m.step = func(string) error {
					if n++; n == i+1 {
						if how == "panic" {
							panic(errCrash)
						}
						return errCrash
					}
					return nil
				}
				err := func() (err error) {
					defer func() {
						if r := recover(); r != nil {
							err = errCrash
						}
					}()
					if err := life(t.Context(), w, m); err != nil {
						return err
					}
					return m.Remove(t.Context(), node1)
				}()
				if !errors.Is(err, errCrash) {
					t.Fatalf("the crash came out as %v", err)
				}
				w.restart()
				m = w.manager(t)
				if err := m.Restore(t.Context()); err != nil {
					t.Errorf("restore: %v", err)
				}
				if err := life(t.Context(), w, m); err != nil {
					t.Fatalf("again: %v", err)
				}
				if d := cmp.Diff(want, w.snapshot(t)); d != "" {
					t.Errorf("disk after doing it again (-want +got):\n%s", d)
				}
				if err := m.Remove(t.Context(), node1); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(filepath.Join(w.dir, "nodes", node1)); !errors.Is(err, fs.ErrNotExist) {
					t.Error("the folder of the node remains")
				}
			})
		}
	}
}

func TestTwoManagersMakeOneRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow, fast := w.manager(t), w.manager(t)
	reached, resume := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow.step = func(name string) error {
		if name == "mend" {
			once.Do(func() { close(reached); <-resume })
		}
		return nil
	}
	done := make(chan error, 1)
	go func() {
		_, err := slow.Create(t.Context(), w.spec(), nil)
		done <- err
	}()
	<-reached
	create(t, fast, w.spec())
	close(resume)
	// It may fail, since its work was swept away, but must spoil nothing.
	t.Logf("the slow one: %v", <-done)
	if got := w.file(t, node1, "etc/hostname"); got != "caddy-1.example\n" {
		t.Errorf("hostname is %q", got)
	}
	list, err := os.ReadDir(filepath.Join(w.dir, "nodes", node1))
	if err != nil || len(list) != 1 {
		t.Errorf("the folder of the node holds %v, %v", list, err)
	}
}

func TestPublishServesAndRestores(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	create(t, m, w.spec())
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		e := w.exports[node1]
		want := Export{NodeID: node1, Path: "/nodes/" + node1, Dir: filepath.Join(w.dir, "nodes", node1, "root", "tree"), Client: netip.MustParseAddr("127.77.1.2")}
		if e != want {
			t.Errorf("export is %+v", e)
		}
		tree := w.boot[node1]
		if d := cmp.Diff([]string{"abcd1234", "dc-a6-32-01-36-c2"}, tree.Prefixes); d != "" {
			t.Errorf("prefixes (-want +got):\n%s", d)
		}
		got := map[string]string{}
		for name, c := range tree.Files {
			b := c.Data
			if c.Path != "" {
				var err error
				if b, err = os.ReadFile(filepath.Join(w.dir, c.Path)); err != nil {
					t.Error(err)
				}
			}
			got[name] = string(b)
		}
		files := map[string]string{
			"kernel8.img": "kernel", "start4.elf": "firmware", "overlays/gpio-shutdown.dtbo": "dtbo",
			"cmdline.txt": "console=serial0,115200 root=/dev/nfs nfsroot=127.0.0.1:/nodes/" + node1 +
				",vers=3,tcp,nolock,noacl,port=20490,mountport=20490,rsize=131072,wsize=131072 rw ip=dhcp rootwait panic=10 quiet loglevel=3\n",
			"config.txt": "# not on this node: cmdline=mine.txt\ndtparam=audio=on\n" +
				"[all]\n# From here on: Caddyshack, for a node that boots from the network.\narm_64bit=1\nenable_uart=1\nuart_2ndstage=1\n" +
				"dtoverlay=gpio-shutdown,gpio_pin=3\ndtoverlay=gpio-poweroff,gpiopin=26\n[pi5]\ndtparam=uart0_console\nusb_max_current_enable=1\n[all]\n",
		}
		if d := cmp.Diff(files, got); d != "" {
			t.Errorf("boot files (-want +got):\n%s", d)
		}
	}
	check()
	w.restart()
	m = w.manager(t)
	if err := m.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	list, err := m.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Published == nil {
		t.Fatalf("list: %+v, %v", list, err)
	}
	// What another process would get.
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var back []Root
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(list, back, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("through JSON:\n%s", d)
	}
	if err := m.Unpublish(t.Context(), node1); err != nil {
		t.Fatal(err)
	}
	if len(w.exports)+len(w.boot) != 0 {
		t.Error("still served after Unpublish")
	}
	if err := w.manager(t).Restore(t.Context()); err != nil || len(w.exports) != 0 {
		t.Errorf("served again after Unpublish: %v", err)
	}
	if w.file(t, node1, "etc/os-release") == "(none)" {
		t.Error("Unpublish removed the root")
	}
}

func TestPublishSeesTheNodesOwnKernel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	create(t, m, w.spec())
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	boot := filepath.Join(w.dir, "nodes", node1, "root", "tree", "boot", "firmware")
	if err := errors.Join(os.WriteFile(filepath.Join(boot, "kernel8.img"), []byte("kernel, upgraded"), 0o600),
		os.Remove(filepath.Join(boot, "start4.elf"))); err != nil {
		t.Fatal(err)
	}
	var copied []string
	m.step = func(name string) error {
		if f, ok := strings.CutPrefix(name, "copy "); ok && f != "boot files" {
			copied = append(copied, f)
		}
		return nil
	}
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"kernel8.img"}, copied); d != "" {
		t.Errorf("copied (-want +got):\n%s", d)
	}
	if _, ok := w.boot[node1].Files["start4.elf"]; ok {
		t.Error("a file that the node removed is still served")
	}
	// A file takes the place of a folder, and a folder that of a file.
	m.step = func(string) error { return nil }
	if err := errors.Join(os.RemoveAll(filepath.Join(boot, "overlays")), os.WriteFile(filepath.Join(boot, "overlays"), nil, 0o600),
		os.Mkdir(filepath.Join(boot, "start4.elf"), 0o700), os.WriteFile(filepath.Join(boot, "start4.elf", "x"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Error(err)
	}
	if _, ok := w.boot[node1].Files["start4.elf/x"]; !ok {
		t.Error("the new folder is not served")
	}
}

func TestPublishForAnotherAddressClosesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	create(t, m, w.spec())
	spec := bootSpec(node1)
	if err := m.Publish(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	spec.Client = netip.MustParseAddr("127.77.1.3")
	w.fail = errors.New("out of order")
	if err := m.Publish(t.Context(), spec); !errors.Is(err, w.fail) {
		t.Errorf("error is %v", err)
	}
	if len(w.exports) != 0 {
		t.Error("the old address still has access")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	ctx := t.Context()
	bad := func(change func(*BootSpec)) error {
		s := bootSpec(node1)
		change(&s)
		return m.Publish(ctx, s)
	}
	_, badID := m.Create(ctx, Spec{NodeID: "../x", Image: w.image}, nil)
	_, badHost := m.Create(ctx, Spec{NodeID: node2, Hostname: "a\nb", Image: w.image}, nil)
	noKernel := w.spec()
	noKernel.Image = imageOf(t, []entry{{name: "etc/os-release", body: "x"}})
	_, kernel := m.Create(ctx, noKernel, nil)
	escape := w.spec()
	escape.Image = imageOf(t, []entry{{name: "../../x", body: "x"}})
	_, escaped := m.Create(ctx, escape, nil)
	gone := w.spec()
	gone.Image.Path = "/nonexistent"
	_, missing := m.Create(ctx, gone, nil)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"id":        {badID, "not a uuid"},
		"hostname":  {badHost, "cannot be a host name"},
		"no kernel": {kernel, "/boot/firmware/kernel8.img"},
		"escape":    {escaped, "leaves the root"},
		"no image":  {missing, "fetch it again"},
		"no root":   {m.Publish(ctx, bootSpec(node1)), "deploy it first"},
		"no client": {bad(func(s *BootSpec) { s.Client = netip.Addr{} }), "no address yet"},
		"no server": {bad(func(s *BootSpec) { s.Server = netip.IPv4Unspecified() }), "server is not set"},
		"ipv6":      {bad(func(s *BootSpec) { s.Server = netip.IPv6LinkLocalAllNodes() }), "not IPv4"},
		"mac":       {bad(func(s *BootSpec) { s.MAC = "x" }), "not a MAC"},
		"serial":    {bad(func(s *BootSpec) { s.Serial = "../../../x" }), "serial number"},
		"params":    {bad(func(s *BootSpec) { s.KernelParams = "quiet\ninit=/bin/sh" }), "one line"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	list, err := m.List(ctx)
	if err != nil || len(list) != 0 {
		t.Errorf("after failures there are %v, %v", list, err)
	}
	if err := m.Remove(ctx, node2); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestCreateNeedsSpace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	m.cfg.Reserve = 1 << 60
	_, err := m.Create(t.Context(), w.spec(), nil)
	if !errors.Is(err, images.ErrNoSpace) || !strings.Contains(err.Error(), "MiB are free") {
		t.Error(err)
	}
}

func TestCheckKernelParams(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "quiet", "init=/bin/sh loglevel=3", "a=b,c:d/e-f_g.h"} {
		if err := CheckKernelParams(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"quiet\ninit=/bin/sh", "\"; reboot", "a\x00", "a\tb", "é", "root=/dev/sda1", "x nfsroot=1.2.3.4:/", strings.Repeat("x", 5000), "a\\b", "a'b", "\x7f"} {
		if err := CheckKernelParams(bad); !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBootFilesOfOddImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.image = imageOf(t, []entry{
		{name: "boot/config.txt", body: "arm_64bit=0\r\nos_prefix=a/\nkernel=vmlinuz\nos_prefix=../../x/\n"},
		{name: "boot/a/vmlinuz", body: "k"}, {name: "boot/.hidden", body: "x"}, {name: "boot/new\nline", body: "x"},
	})
	m := w.manager(t)
	create(t, m, w.spec())
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	var names []string
	for n := range w.boot[node1].Files {
		names = append(names, n)
	}
	want := []string{"a/cmdline.txt", "a/vmlinuz", "cmdline.txt", "config.txt"}
	if d := cmp.Diff(want, names, cmpopts.SortSlices(strings.Compare)); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if c := string(w.boot[node1].Files["config.txt"].Data); strings.Contains(c, "arm_64bit=1") || strings.Contains(c, "kernel8.img") {
		t.Errorf("the image's own choice is overridden:\n%s", c)
	}
}

// brokenTrees fail when they are to be finished.
type brokenTrees struct{ plainTrees }

func (b brokenTrees) CreateTree(dir string) (Importer, error) {
	im, err := b.plainTrees.CreateTree(dir)
	return brokenImporter{im}, err
}

type brokenImporter struct{ Importer }

func (brokenImporter) Close() error { return fmt.Errorf("sync: %w", fs.ErrInvalid) }

func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	m.cfg.Trees = brokenTrees{}
	if _, err := m.Create(t.Context(), w.spec(), nil); !errors.Is(err, fs.ErrInvalid) {
		t.Fatal(err)
	}
	list, err := os.ReadDir(filepath.Join(w.dir, "nodes", node1))
	if err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}
