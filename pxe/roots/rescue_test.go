package roots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
)

// rescueHash is of the password "open sesame".
const rescueHash = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"

// rescueSpec describes a rescue root, of an image of its own.
func rescueSpec(t testing.TB, w *world, generation string) Spec {
	t.Helper()
	return Spec{NodeID: node1, Generation: generation, Hostname: "caddy-1-rescue", Rescue: &Rescue{PasswordHash: rescueHash}, Image: w.rescue}
}

// rescueImage has a kernel of the same size as that of the other image.
func rescueImage(t testing.TB) []entry {
	t.Helper()
	return []entry{
		{name: "etc/passwd", body: "root:x:0:0:root:/root:/bin/bash\nrescue:x:77:77::/:/bin/false"},
		{name: "etc/shadow", body: "root:*:1::::::\n"},
		{name: "etc/ssh/sshd_config", body: "PermitRootLogin no\n"},
		{name: "bin/bash", body: "elf"},
		{name: "etc/fstab", body: "UUID=1-2 / ext4 defaults 0 1\ntmpfs /tmp tmpfs defaults 0 0"},
		{name: "sbin/mount.nfs", body: "elf"},
		{name: "boot/firmware/kernel8.img", body: "KERNEL"},
	}
}

// The rescue root is made beside the node's own, is what is published while it
// is there, also after a restart, and leaves the other as it was.
func TestRescueRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rescue = imageOf(t, rescueImage(t))
	m := w.manager(t)
	if _, err := m.Create(t.Context(), rescueSpec(t, w, "rescue-1"), nil); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("the rescue of a node without a root: %v", err)
	}
	create(t, m, w.spec())
	publish := func() {
		t.Helper()
		if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	before := w.snapshot(t)
	served := func() (place, kernel string) {
		t.Helper()
		c := w.boot[node1].Files["kernel8.img"]
		b, err := os.ReadFile(filepath.Join(w.dir, c.Path))
		if err != nil {
			t.Fatal(err)
		}
		place, err = filepath.Rel(filepath.Join(w.dir, "nodes", node1), w.exports[node1].Dir)
		if err != nil {
			t.Fatal(err)
		}
		return place, string(b)
	}
	bad := rescueSpec(t, w, "x")
	bad.Rescue = &Rescue{PasswordHash: "plain\nroot::0:0:::"}
	if _, err := m.Create(t.Context(), bad, nil); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("a hash that is none: %v", err)
	}
	create(t, m, rescueSpec(t, w, "rescue-1"))
	if len(w.exports)+len(w.boot) != 0 {
		t.Error("the own root is served while another is made ready")
	}
	publish()
	if place, kernel := served(); place != "rescue/tree" || kernel != "KERNEL" {
		t.Errorf("in rescue %s is served, with the kernel %q", place, kernel)
	}
	own := Export{NodeID: node1 + ".own", Path: "/own/" + node1, Dir: filepath.Join(w.dir, "nodes", node1, "root", "tree"), Client: bootSpec(node1).Client}
	if got := w.exports[node1+".own"]; got != own || !IsOwnExport(got.NodeID) || IsOwnExport(node1) {
		t.Errorf("the own root is opened to the rescue system as %+v", got)
	}
	file := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(w.dir, "nodes", node1, "rescue", "tree", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, want := range map[string]string{
		"etc/hostname": "caddy-1-rescue\n",
		"root/own-root": "# The node's own root, in its rescue system, which mounts it at /mnt/root if it has mount.nfs (see /etc/fstab):\n" +
			"mkdir -p /mnt/root && mount -t nfs -o vers=3,tcp,nolock,noacl,port=20490,mountport=20490 127.0.0.1:/own/" + node1 + " /mnt/root\n",
		"etc/fstab": "# not on this node: UUID=1-2 / ext4 defaults 0 1\ntmpfs /tmp tmpfs defaults 0 0\n" +
			"127.0.0.1:/own/" + node1 + " /mnt/root nfs vers=3,tcp,nolock,noacl,port=20490,mountport=20490,nofail,_netdev,x-systemd.mount-timeout=30s 0 0\n",
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\nrescue:x:0:0:rescue:/root:/bin/bash\n",
		"etc/shadow": "root:*:1::::::\nrescue:" + rescueHash + ":1:0:99999:7:::\n",
		"etc/ssh/sshd_config": "# A rescue system, by Caddyshack.\nPermitRootLogin yes\nPasswordAuthentication yes\nUsePAM yes\n" +
			"PermitRootLogin no\n",
	} {
		if d := cmp.Diff(want, file(name)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	// The same again changes nothing; another rescue begins afresh.
	if err := os.WriteFile(filepath.Join(w.dir, "nodes", node1, "rescue", "tree", "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	create(t, m, rescueSpec(t, w, "rescue-1"))
	_ = file("note")
	w.restart()
	m = w.manager(t)
	if err := m.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := file("etc/fstab"); strings.Count(text, "/mnt/root") != 1 {
		t.Errorf("after a restart /etc/fstab is:\n%s", text)
	}
	if place, _ := served(); place != "rescue/tree" {
		t.Errorf("after a restart %s is served", place)
	}
	create(t, m, rescueSpec(t, w, "rescue-2"))
	if _, err := os.Stat(filepath.Join(w.dir, "nodes", node1, "rescue", "tree", "note")); err == nil {
		t.Error("the second rescue found what the first left")
	}
	publish()
	for range 2 { // it may be repeated
		if err := m.RemoveRescue(t.Context(), node1); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.exports)+len(w.boot) != 0 {
		t.Error("a removed rescue root is served")
	}
	publish()
	if place, kernel := served(); place != "root/tree" || kernel != "kernel" || len(w.exports) != 1 {
		t.Errorf("after the rescue %s is served, with the kernel %q", place, kernel)
	}
	if err := m.RemoveRescue(t.Context(), node1); err != nil || len(w.exports) != 1 {
		t.Errorf("removing what is not there: %v, exports %v", err, w.exports)
	}
	if d := cmp.Diff(before, w.snapshot(t)); d != "" {
		t.Errorf("the disk before and after the rescue (-before +after):\n%s", d)
	}
	// A node that is undeployed in rescue leaves nothing.
	create(t, m, rescueSpec(t, w, "rescue-3"))
	if err := m.Remove(t.Context(), node1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "nodes", node1)); !os.IsNotExist(err) {
		t.Errorf("the folder of the node remains: %v", err)
	}
}

// A rescue system that has no program to mount NFS is told how, and no more.
func TestRescueWithoutNFS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager(t)
	create(t, m, w.spec())
	spec := rescueSpec(t, w, "rescue-1")
	spec.Image = w.spec().Image
	create(t, m, spec)
	if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(w.dir, "nodes", node1, "rescue", "tree")
	if _, err := os.Stat(filepath.Join(tree, "root/own-root")); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(tree, "etc/fstab")); err == nil && strings.Contains(string(text), "/mnt/root") {
		t.Errorf("without mount.nfs /etc/fstab is:\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(tree, "mnt/root")); err == nil {
		t.Error("there is an empty /mnt/root")
	}
}

// A rescue that breaks off anywhere is done again to the same end, and an
// undeploy instead of that leaves nothing for the next deploy.
func TestRescueCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	image := imageOf(t, rescueImage(t))
	life := func(ctx context.Context, w *world, m *Manager) error {
		if _, err := m.Create(ctx, rescueSpec(t, w, "rescue-1"), nil); err != nil {
			return err
		}
		if err := m.Publish(ctx, bootSpec(node1)); err != nil {
			return err
		}
		if err := m.RemoveRescue(ctx, node1); err != nil {
			return err
		}
		return m.Publish(ctx, bootSpec(node1))
	}
	deployed := func() (*world, *Manager) {
		w := newWorld(t)
		w.rescue = image
		m := w.manager(t)
		create(t, m, w.spec())
		if err := m.Publish(t.Context(), bootSpec(node1)); err != nil {
			t.Fatal(err)
		}
		return w, m
	}
	w, m := deployed()
	want, n := w.snapshot(t), 0
	m.step = func(string) error { n++; return nil }
	if err := life(t.Context(), w, m); err != nil || n < 20 {
		t.Fatalf("%d points: %v", n, err)
	}
	for i := range n {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for _, then := range []string{"rescue", "deploy"} {
				w, m := deployed()
				at := 0
				m.step = func(string) error {
					if at++; at == i+1 {
						return errCrash
					}
					return nil
				}
				if err := life(t.Context(), w, m); !errors.Is(err, errCrash) {
					t.Fatalf("the crash came out as %v", err)
				}
				w.restart()
				m = w.manager(t)
				err := m.Restore(t.Context())
				if then == "deploy" {
					again := w.spec()
					again.Generation = "deploy-2"
					create(t, m, again)
					err = errors.Join(err, m.Publish(t.Context(), bootSpec(node1)))
				} else {
					err = errors.Join(err, life(t.Context(), w, m))
				}
				if err != nil {
					t.Fatalf("%s: %v", then, err)
				}
				if !strings.HasSuffix(w.exports[node1].Dir, "/root/tree") {
					t.Errorf("%s: in the end %s is served", then, w.exports[node1].Dir)
				}
				if d := cmp.Diff(want, w.snapshot(t)); d != "" {
					t.Errorf("%s: the disk (-want +got):\n%s", then, d)
				}
			}
		})
	}
}
