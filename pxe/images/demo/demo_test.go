package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/images"
)

// fakeGo writes a script that stands in for the go command. It says it has the
// modules that setUp made, and "compiles" by writing a file.
func fakeGo(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "go")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nDIR='"+dir+"'\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range append(firmwareFiles(), "LICENSE.broadcom", "LICENSE.linux", "vmlinuz", "bcm2711-rpi-4-b.dtb", "overlays/overlay_map.dtb", "overlays/x.dtbo") {
		f = filepath.Join(dir, "module", f)
		if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o755), os.WriteFile(f, []byte(f), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

const goodGo = `
echo "$*" >> "$DIR/calls"
case "$1" in
mod) for m in kernel.rpi firmware; do echo "{\"Path\": \"github.com/gokrazy/$m\", \"Dir\": \"$DIR/module\"}"; done;;
build) test -f main.go && test -f go.sum && test ! -f shell_test.go && test "$GOARCH" = arm64 || exit 1; while [ "$1" != -o ]; do shift; done; echo program > "$2";;
esac
`

func TestPrepareMakesAndKeepsTheImage(t *testing.T) {
	t.Parallel()
	tool, dir := fakeGo(t, goodGo), t.TempDir()
	b := New(Config{Dir: dir, Go: tool, RequireReal: true})
	if _, err := b.Image(t.Context()); !errors.Is(err, images.ErrNotReady) {
		t.Errorf("before Prepare: %v", err)
	}
	if err := b.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	img, err := b.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	_, err = images.Unpack(t.Context(), img.Path, images.Limits{}, func(h *tar.Header, _ io.Reader) error {
		names = append(names, h.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"dev", "tmp", "var/lib/caddyshack/first-boot.d", "sbin/init", "bin/sh", "etc/os-release", "etc/passwd", "boot/firmware/kernel8.img", "boot/firmware/start4.elf", "boot/firmware/overlays/x.dtbo"} {
		if !slices.Contains(names, n) {
			t.Errorf("the image lacks %s", n)
		}
	}
	again := New(Config{Dir: dir, Go: "/nonexistent", RequireReal: true})
	if err := again.Prepare(t.Context()); err != nil {
		t.Fatalf("from the cache: %v", err)
	}
	if got, _ := again.Image(t.Context()); got != img {
		t.Errorf("from the cache came %+v, made was %+v", got, img)
	}
	// A damaged archive is made again, and comes out the same.
	if err := os.Truncate(img.Path, 100); err != nil {
		t.Fatal(err)
	}
	third := New(Config{Dir: dir, Go: tool, RequireReal: true})
	if err := third.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := third.Image(t.Context()); got != img {
		t.Errorf("made again came %+v, first was %+v", got, img)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, workPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPrepareTwiceAtOnce(t *testing.T) {
	t.Parallel()
	tool, dir := fakeGo(t, goodGo), t.TempDir()
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- New(Config{Dir: dir, Go: tool, RequireReal: true}).Prepare(t.Context()) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(filepath.Dir(tool), "calls"))
	if err != nil || bytes.Count(calls, []byte("build -trimpath")) != 1 {
		t.Errorf("the go command was called with\n%s(%v)", calls, err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"no network": {"echo 'go: github.com/gokrazy/firmware: dial tcp: lookup proxy: no such host' >&2; exit 1", "connect to the network"},
		"module":     {`echo '{"Path": "github.com/gokrazy/firmware", "Error": "checksum mismatch"}'; exit 1`, "do not trust"},
		"old go":     {"echo 'go.mod requires go >= 1.26.0 (running go 1.20)' >&2; exit 1", "newer Go"},
		"disk":       {"echo 'write x: no space left on device' >&2; exit 1", "free some space"},
		"nothing":    {"exit 0", "did not tell"},
	} {
		dir := t.TempDir()
		b := New(Config{Dir: dir, Go: fakeGo(t, c.script), RequireReal: true})
		err := b.Prepare(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Image(t.Context()); err == nil || errors.Is(err, images.ErrNotReady) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Image: %v", name, err)
		}
		// The simulator gets by without.
		b = New(Config{Dir: dir, Go: fakeGo(t, c.script)})
		if err := b.Prepare(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s := b.Status(); !s.Tiny || !s.Ready || !strings.Contains(s.Problem, c.want) {
			t.Errorf("%s: status %+v", name, s)
		}
	}
}

func TestTinyRootWithoutGo(t *testing.T) {
	t.Parallel()
	b := New(Config{Dir: "/proc/nowhere", TinyDir: t.TempDir(), Go: "/nonexistent/go"})
	if err := b.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	img, err := b.Image(t.Context())
	if err != nil || img.Size > 64<<10 {
		t.Fatalf("image %+v, %v", img, err)
	}
	got := map[string]string{}
	_, err = images.Unpack(t.Context(), img.Path, images.Limits{}, func(h *tar.Header, r io.Reader) error {
		data, err := io.ReadAll(r)
		if got[h.Name] != "" {
			t.Errorf("%s is there twice", h.Name)
		}
		got[h.Name] = string(data) + " "
		return err
	})
	if err != nil || got["etc/os-release"] != tinyRelease+" " || got["boot/firmware/kernel8.img"] == "" || got["sbin/init"] == "" {
		t.Errorf("tiny root: %v", err)
	}
}

func TestPrepareStopsWithItsContext(t *testing.T) {
	t.Parallel()
	tool := fakeGo(t, "touch \"$DIR/started\"; sleep 1000 & wait")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(tool), "started")); err == nil {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	b := New(Config{Dir: t.TempDir(), Go: tool})
	if err := b.Prepare(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The image's modules are those that this program was tested with.
func TestModuleVersions(t *testing.T) {
	t.Parallel()
	require := regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.]+/\S+) (v\S+)`)
	versions := func(data []byte) map[string]string {
		m := map[string]string{}
		for _, r := range require.FindAllSubmatch(data, -1) {
			m[string(r[1])] = string(r[2])
		}
		return m
	}
	ours, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := embedded.ReadFile("module/go.mod.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, got := versions(ours), versions(theirs)
	if len(got) < 6 {
		t.Fatalf("only %v", got)
	}
	for module, v := range got {
		if module != kernelModule && module != firmwareModule && want[module] != v {
			t.Errorf("%s is %s in the image and %q in the program", module, v, want[module])
		}
	}
}

// Each command of the program has a name in the image.
func TestCommandsAreLinked(t *testing.T) {
	t.Parallel()
	source, err := embedded.ReadFile("init/applets.go")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"sh", "sshd"}
	for _, m := range regexp.MustCompile(`(?m)^\t\t"([\w.]+)":\s+\{`).FindAllSubmatch(source, -1) {
		want = append(want, string(m[1]))
	}
	bin, sbin := commands()
	got := slices.Concat(bin, sbin)
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("links (-commands +links):\n%s", d)
	}
}

// An image that vanishes from the cache is made anew, and another version's is left
// alone as long as that may still run.
func TestEmptiedCache(t *testing.T) {
	t.Parallel()
	tool, dir := fakeGo(t, goodGo), t.TempDir()
	other, old := filepath.Join(dir, "demo-0123456789abcdef.tar"), filepath.Join(dir, "demo-fedcba9876543210.tar")
	for _, name := range []string{other, other + ".json", old, old + ".json"} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-unused - time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	b := New(Config{Dir: dir, Go: tool, RequireReal: true})
	if err := b.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{other: true, other + ".json": true, old: false, old + ".json": false} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("%s: %v, want it to stay: %v", filepath.Base(name), err, want)
		}
	}
	img, err := b.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(img.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Image(t.Context()); !errors.Is(err, images.ErrNotReady) {
		t.Errorf("while it is made anew: %v", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !b.Status().Ready {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it is not made anew")
		}
		if s := b.Status(); s.Problem != "" {
			t.Fatal(s.Problem)
		}
	}
	if got, err := b.Image(t.Context()); err != nil || got != img {
		t.Errorf("made anew it is %+v, %v; it was %+v", got, err, img)
	}
}
