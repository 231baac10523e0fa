package sidecar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/nfsd/tree"
)

// newTree makes an empty sealed tree and returns its folder.
func newTree(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	tr, err := Create(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tr.Seal(), tr.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openTree(t testing.TB, dir string) *Tree {
	t.Helper()
	tr, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// crash ends the use of a tree as a kill of the process does.
func (t *Tree) crash() {
	t.background.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	_ = t.journal.close()
	_ = t.data.close()
	_ = t.unlock()
}

// dump lists everything in a tree: path, attributes but for time and space on
// disk, contents.
func dump(t testing.TB, tr *Tree) []string {
	t.Helper()
	var out []string
	var walk func(path string, id tree.ID)
	walk = func(path string, id tree.ID) {
		a, err := tr.Attr(id)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		line := fmt.Sprintf("%s type=%d mode=%04o links=%d owner=%d:%d size=%d dev=%d:%d", path, a.Type, a.Mode, a.Nlink, a.UID, a.GID, a.Size, a.Major, a.Minor)
		switch a.Type {
		case tree.Symlink:
			target, err := tr.Readlink(id)
			if err != nil {
				t.Fatal(err)
			}
			line += " -> " + target
		case tree.Regular:
			b := make([]byte, a.Size)
			if _, _, err := tr.Read(id, b, 0); err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %q", b)
		}
		out = append(out, line)
		if a.Type != tree.Directory {
			return
		}
		entries, eof, err := tr.ReadDir(id, cookieParent, 1<<20, true)
		if err != nil || !eof {
			t.Fatalf("%q: %v, eof %v", path, err, eof)
		}
		for _, e := range entries {
			walk(path+"/"+e.Name, e.ID)
		}
	}
	walk("", tr.Root())
	slices.Sort(out)
	return out
}

// changes are steps that together use every kind of record.
func changes(tr *Tree) []func() error {
	var d, f tree.ID
	root := tr.Root()
	create := func(id *tree.ID, dir *tree.ID, name string, n tree.New) func() error {
		return func() error {
			got, _, err := tr.Create(*dir, name, n)
			*id = got
			return err
		}
	}
	var other tree.ID
	return []func() error{
		create(&d, &root, "dir", tree.New{Type: tree.Directory, Mode: 0o2755, UID: 1, GID: 2}),
		create(&f, &d, "file", tree.New{Type: tree.Regular, Mode: 0o4711, UID: 3, GID: 4}),
		func() error { return tr.Write(f, []byte("contents"), 0, tree.FileSync) },
		create(&other, &root, "null", tree.New{Type: tree.Char, Mode: 0o666, Major: 1, Minor: 3}),
		create(&other, &root, "link", tree.New{Type: tree.Symlink, Mode: 0o777, Target: "/etc/passwd"}),
		func() error { return tr.Link(f, root, "hard") },
		create(&other, &root, "empty", tree.New{Type: tree.Directory, Mode: 0o700}),
		func() error { return tr.Rename(root, "empty", d, "moved") },
		func() error { return tr.Rename(root, "null", d, "file") }, // over the first name of f
		func() error {
			mode, uid := uint32(0o600), uint32(9)
			return tr.SetAttr(f, tree.SetAttr{Mode: &mode, UID: &uid})
		},
		func() error { return tr.Rmdir(d, "moved") },
		func() error { return tr.Remove(root, "link") },
	}
}

// TestCrashAtEveryRecord cuts the journal at every byte: the tree must open
// and hold exactly what the whole records before the cut say.
func TestCrashAtEveryRecord(t *testing.T) {
	t.Parallel()
	dir := newTree(t)
	tr := openTree(t, dir)
	states := [][]string{dump(t, tr)}
	ends := []int64{0}
	for i, change := range changes(tr) {
		if err := change(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		if size := tr.journal.size; size > ends[len(ends)-1] {
			ends = append(ends, size)
			states = append(states, dump(t, tr))
		} else {
			states[len(states)-1] = dump(t, tr) // contents are not journalled
		}
	}
	tr.crash()
	journal, err := os.ReadFile(filepath.Join(dir, "journal.0"))
	if err != nil {
		t.Fatal(err)
	}
	strip := func(lines []string) []string { // contents may be newer than names
		out := make([]string, 0, len(lines))
		for _, l := range lines {
			l, _, _ = strings.Cut(l, " size=")
			out = append(out, l)
		}
		return out
	}
	for cut := range len(journal) + 1 {
		work := filepath.Join(t.TempDir(), "y")
		if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(work, "journal.0"), int64(cut)); err != nil {
			t.Fatal(err)
		}
		got := openTree(t, work)
		at := 0
		for at+1 < len(ends) && ends[at+1] <= int64(cut) {
			at++
		}
		if diff := cmp.Diff(strip(states[at]), strip(dump(t, got))); diff != "" {
			t.Fatalf("cut at byte %d, after change %d:\n%s", cut, at, diff)
		}
		if cut%8 != 0 {
			got.crash()
			continue
		}
		// It can be used, and what is done survives.
		if _, _, err := got.Create(got.Root(), "after", tree.New{Type: tree.Regular}); err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		want := dump(t, got)
		got.crash()
		if diff := cmp.Diff(want, dump(t, openTree(t, work))); diff != "" {
			t.Fatalf("cut at byte %d, after one more change:\n%s", cut, diff)
		}
	}
}

func TestCloseAndReopen(t *testing.T) {
	t.Parallel()
	dir := newTree(t)
	tr := openTree(t, dir)
	id := tr.Root()
	for i, change := range changes(tr) {
		if err := change(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	hard, _, err := tr.Lookup(id, "hard")
	if err != nil {
		t.Fatal(err)
	}
	want := dump(t, tr)
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	tr = openTree(t, dir)
	if diff := cmp.Diff(want, dump(t, tr)); diff != "" {
		t.Error(diff)
	}
	if again, _, err := tr.Lookup(tr.Root(), "hard"); err != nil || again != hard {
		t.Errorf("the ID of a file changed from %x to %x, %v", hard, again, err)
	}
	if names, err := tr.numbered(metaPrefix); err != nil || len(names) != 1 {
		t.Errorf("checkpoints %v, %v", names, err)
	}
}

func TestCompaction(t *testing.T) {
	t.Parallel()
	dir := newTree(t)
	tr, err := Open(dir, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 200)
	for i := range 6000 { // 2.4 MB of records, hardly any files
		if _, _, err := tr.Create(tr.Root(), name, tree.New{Type: tree.FIFO}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := tr.Rename(tr.Root(), name, tr.Root(), fmt.Sprint("kept-", i%100)); err != nil {
				t.Fatal(err)
			}
		} else if err := tr.Remove(tr.Root(), name); err != nil {
			t.Fatal(err)
		}
	}
	if tr.gen == 0 {
		t.Error("the journal was never compacted")
	}
	want := dump(t, tr)
	tr.crash()
	if diff := cmp.Diff(want, dump(t, openTree(t, dir))); diff != "" {
		t.Error(diff)
	}
}

func TestOrphansAreSwept(t *testing.T) {
	t.Parallel()
	dir := newTree(t)
	tr := openTree(t, dir)
	if _, _, err := tr.Create(tr.Root(), "f", tree.New{Type: tree.Regular}); err != nil {
		t.Fatal(err)
	}
	if err := tr.data.create(12345); err != nil { // as by a crash in Create
		t.Fatal(err)
	}
	tr.crash()
	tr = openTree(t, dir)
	if _, err := os.Stat(filepath.Join(dir, dataFolder, dataName(12345))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the orphan is there: %v", err)
	}
	if _, _, err := tr.Lookup(tr.Root(), "f"); err != nil {
		t.Error(err)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(dir string) error{
		"checkpoint cut":     func(dir string) error { return os.Truncate(dir+"/meta.0", 30) },
		"checkpoint missing": func(dir string) error { return os.Remove(dir + "/meta.0") },
		"format missing":     func(dir string) error { return os.Remove(dir + "/format") },
		"newer format": func(dir string) error {
			return os.WriteFile(dir+"/format", []byte("caddyshack sidecar tree 2 00\n"), 0o600)
		},
		"data folder missing":  func(dir string) error { return os.Remove(dir + "/data") },
		"checkpoint with flip": func(dir string) error { return flip(dir+"/meta.0", 30) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newTree(t)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if tr, err := Open(dir, Options{}); err == nil {
				_ = tr.Close()
				t.Error("the damaged tree opened")
			} else if !strings.Contains(err.Error(), dir) {
				t.Errorf("the error does not name the folder: %v", err)
			}
		})
	}
}

func flip(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 1
	return os.WriteFile(path, b, 0o600)
}

func TestForeignIDs(t *testing.T) {
	t.Parallel()
	a, b := openTree(t, newTree(t)), openTree(t, newTree(t))
	for _, id := range []tree.ID{b.Root(), "", "x", a.Root() + "x", a.makeID(99)} {
		if _, err := a.Attr(id); !errors.Is(err, syscall.ESTALE) {
			t.Errorf("ID %x: %v", id, err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	tr := &record{op: opMake, ino: 2, dir: 1, cookie: 17, name: "f", typ: tree.Regular}
	f.Add(tr.append(nil))
	f.Add((&record{op: opRename, dir: 1, toDir: 1, name: "a", toName: "b"}).append(nil))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if r, err := parseRecord(b); err == nil {
			_ = newState(0).apply(&r)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(newState(0).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil {
			if _, err := decodeState(s.encode()); err != nil {
				t.Fatalf("what was read cannot be written and read again: %v", err)
			}
		}
	})
}
