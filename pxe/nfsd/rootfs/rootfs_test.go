package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/pxe/nfsd/tree"
	"caddyshack/pxe/nfsd/tree/native"
	"caddyshack/pxe/nfsd/tree/paths"
)

func kinds() []Kind {
	if native.Works(os.TempDir()) != nil {
		return []Kind{Sidecar} // an ordinary user
	}
	return []Kind{Sidecar, Native}
}

type entry struct {
	h    tar.Header
	data string
}

func pack(t *testing.T, entries ...entry) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.h
		h.Size = int64(len(e.data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

func file(name, data string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, data}
}

func TestImport(t *testing.T) {
	t.Parallel()
	when := time.Unix(1_700_000_000, 0)
	for _, kind := range kinds() {
		dir := filepath.Join(t.TempDir(), string(kind))
		im, err := Create(dir, kind, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil {
			t.Errorf("%s: a root that is not finished opened", kind)
		}
		err = im.AddAll(pack(t,
			entry{tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o750, Uid: 5, ModTime: when}, ""},
			entry{tar.Header{Typeflag: tar.TypeDir, Name: "./usr/", Mode: 0o755, ModTime: when}, ""},
			entry{tar.Header{Typeflag: tar.TypeReg, Name: "./usr/bin/su", Mode: 0o4755, Uid: 0, Gid: 8, ModTime: when}, "set-uid"},
			entry{tar.Header{Typeflag: tar.TypeLink, Name: "./usr/bin/su2", Linkname: "./usr/bin/su"}, ""},
			entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: "/usr/bin"}, ""},
			entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "escape", Linkname: "../../../etc/passwd"}, ""},
			entry{tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}, ""},
			entry{tar.Header{Typeflag: tar.TypeFifo, Name: "dev/fifo", Mode: 0o600}, ""},
			file("etc/hostname", "image\n"),
			file("etc/hostname", "later entries win\n"),
			file("was-file", "x"),
			entry{tar.Header{Typeflag: tar.TypeDir, Name: "was-file", Mode: 0o700}, ""},
		))
		if err != nil {
			t.Fatal(err)
		}
		if err := im.WriteFile("/etc/hostname", []byte("caddy-1\n"), 0o600, 7, 8); err != nil {
			t.Fatal(err)
		}
		if err := im.Close(); err != nil {
			t.Fatal(err)
		}
		if got := KindOf(dir); got != kind {
			t.Errorf("kind %q, want %q", got, kind)
		}
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := r.ReadFile("etc/hostname"); err != nil || string(b) != "caddy-1\n" {
			t.Errorf("%s: hostname %q, %v", kind, b, err)
		}
		check := func(path string, want tree.Attr) {
			t.Helper()
			_, a, err := paths.Find(r, path)
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				return
			}
			if a.Type != want.Type || a.Mode != want.Mode || a.UID != want.UID || a.GID != want.GID || a.Major != want.Major ||
				a.Minor != want.Minor || want.Nlink != 0 && a.Nlink != want.Nlink || want.Mtime != 0 && a.Mtime != want.Mtime {
				t.Errorf("%s: %q: got %+v, want %+v", kind, path, a, want)
			}
		}
		stamp := tree.Stamp(when.UnixNano())
		check("/", tree.Attr{Type: tree.Directory, Mode: 0o750, UID: 5, Mtime: stamp})
		check("/usr", tree.Attr{Type: tree.Directory, Mode: 0o755, Mtime: stamp})
		check("/usr/bin/su", tree.Attr{Type: tree.Regular, Mode: 0o4755, GID: 8, Nlink: 2, Mtime: stamp})
		check("/bin", tree.Attr{Type: tree.Symlink, Mode: 0o777})
		check("/dev/null", tree.Attr{Type: tree.Char, Mode: 0o666, Major: 1, Minor: 3})
		check("/dev/fifo", tree.Attr{Type: tree.FIFO, Mode: 0o600})
		check("/was-file", tree.Attr{Type: tree.Directory, Mode: 0o700})
		check("/etc/hostname", tree.Attr{Type: tree.Regular, Mode: 0o600, UID: 7, GID: 8})
		if _, err := r.ReadFile("/bin/su"); !errors.Is(err, paths.ErrThroughLink) {
			t.Errorf("%s: reading through a link: %v", kind, err)
		}
		if err := r.WriteFile("/bin/new", nil, 0o644, 0, 0); !errors.Is(err, paths.ErrThroughLink) {
			t.Errorf("%s: writing through a link: %v", kind, err)
		}
		// A link in the place of the file is replaced.
		if err := r.WriteFile("/escape", []byte("mine"), 0o644, 0, 0); err != nil {
			t.Error(err)
		}
		check("/escape", tree.Attr{Type: tree.Regular, Mode: 0o644})
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	link := func(name, target string) entry {
		return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}, ""}
	}
	hard := func(name, target string) entry {
		return entry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}, ""}
	}
	cases := map[string]struct {
		entries []entry
		want    error // nil: any
		named   string
	}{
		"absolute name":           {[]entry{file("/etc/passwd", "x")}, paths.ErrAbsolute, "/etc/passwd"},
		"dotdot":                  {[]entry{file("a/../../x", "x")}, paths.ErrDotDot, "a/../../x"},
		"hard link outside":       {[]entry{hard("x", "../../etc/passwd")}, paths.ErrDotDot, "x"},
		"absolute hard link":      {[]entry{hard("x", "/etc/passwd")}, paths.ErrAbsolute, "x"},
		"hard link to nothing":    {[]entry{hard("x", "none")}, nil, "x"},
		"hard link through link":  {[]entry{link("l", "/etc"), hard("x", "l/passwd")}, paths.ErrThroughLink, "x"},
		"hard link to directory":  {[]entry{{tar.Header{Typeflag: tar.TypeDir, Name: "d"}, ""}, hard("x", "d")}, nil, "x"},
		"file through link":       {[]entry{link("l", "/tmp"), file("l/x", "x")}, paths.ErrThroughLink, "l/x"},
		"through link to nothing": {[]entry{link("l", "nowhere"), file("l/x/y", "x")}, paths.ErrThroughLink, "l/x/y"},
		"file through file":       {[]entry{file("f", "x"), file("f/x", "x")}, nil, "f/x"},
		"name too long":           {[]entry{file(strings.Repeat("n", 256), "")}, nil, "nnn"},
		"too many entries":        {[]entry{file("1", ""), file("2", ""), file("3", ""), file("4", ""), file("5", "")}, paths.ErrTooManyEntries, "5"},
		"too many bytes":          {[]entry{file("1", strings.Repeat("x", 60)), file("2", strings.Repeat("x", 60))}, paths.ErrTooManyBytes, "2"},
		"root replaced":           {[]entry{file(".", "x")}, nil, "."},
		"directory not empty":     {[]entry{file("d/x", "x"), file("d", "x")}, nil, "d"},
	}
	for _, kind := range kinds() {
		for name, c := range cases {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "root")
				im, err := Create(dir, kind, Limits{Entries: 4, Bytes: 100})
				if err != nil {
					t.Fatal(err)
				}
				err = im.AddAll(pack(t, c.entries...))
				if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.named) {
					t.Errorf("got %v, want %v naming %q", err, c.want, c.named)
				}
				if err := im.Abort(); err != nil {
					t.Error(err)
				}
				if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the folder is left: %v", err)
				}
			})
		}
	}
}

// TestCutArchive feeds an archive that ends early at every length.
func TestCutArchive(t *testing.T) {
	t.Parallel()
	whole, err := io.ReadAll(pack(t, file("a", strings.Repeat("a", 700)), file("b", "b")))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(whole)-1024; n += 73 {
		im, err := Create(filepath.Join(t.TempDir(), "root"), Sidecar, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := im.AddAll(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("an archive cut at byte %d was accepted", n)
		}
		if err := im.Abort(); err != nil {
			t.Error(err)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	if got := Choose(t.TempDir(), Sidecar); got != Sidecar {
		t.Errorf("forced: %q", got)
	}
	if _, err := Create(t.TempDir()+"/x", "other", Limits{}); err == nil {
		t.Error("an unknown kind was accepted")
	}
}
