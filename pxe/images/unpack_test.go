package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// list unpacks and returns "name type link body" of each entry.
func list(ctx context.Context, path string, lim Limits) ([]string, error) {
	var got []string
	_, err := Unpack(ctx, path, lim, func(h *tar.Header, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %c %s %s", h.Name, h.Typeflag, h.Linkname, b)))
		return nil
	})
	return got, err
}

func TestUnpackKinds(t *testing.T) {
	t.Parallel()
	plain := archive(t, dir("./"), file("./etc/os-release", "ID=test"), link("./lib", "/usr/lib"), hard("b", "./etc/os-release"),
		entry{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
		entry{Header: tar.Header{Name: "su", Typeflag: tar.TypeReg, Mode: 0o4755}})
	want := []string{". 5", "etc/os-release 0  ID=test", "lib 2 /usr/lib", "b 1 etc/os-release", "dev/null 3", "su 0"}
	for _, kind := range []Kind{KindTar, KindGzip, KindXZ, KindZstd} {
		// The name says nothing: the content decides.
		path := write(t, filepath.Join(t.TempDir(), "image.qcow2"), pack(t, kind, plain))
		got, err := list(t.Context(), path, Limits{})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
}

func TestUnpackForeignFormats(t *testing.T) {
	t.Parallel()
	at := func(offset int, s string) []byte {
		b := make([]byte, 40<<10)
		copy(b[offset:], s)
		return b
	}
	for name, data := range map[string][]byte{
		"qcow2":       at(0, "QFI\xfb\x00\x00\x00\x03"),
		"VMDK":        at(0, "KDMV"),
		"zip":         at(0, "PK\x03\x04"),
		"partition":   at(0x1fe, "\x55\xaa"),
		"ext2/3/4":    at(0x438, "\x53\xef"),
		"ISO 9660":    at(0x8001, "CD001"),
		"web page":    []byte("<!DOCTYPE html><p>not found"),
		"not known":   at(5, "x"),
		"empty":       {},
		"inside":      pack(t, KindGzip, at(0, "QFI\xfb")),
		"twice":       pack(t, KindXZ, pack(t, KindGzip, archive(t))),
		"bzip2":       []byte("BZh91AY"),
		"compression": pack(t, KindZstd, []byte("hello")),
	} {
		path := write(t, filepath.Join(t.TempDir(), "image.tar"), data)
		_, err := list(t.Context(), path, Limits{})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnpackAttacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []entry
		want    string
	}{
		"dotdot":              {[]entry{file("../../etc/cron.d/x", "x")}, "leaves the root"},
		"dotdot inside":       {[]entry{file("a/b/../../../x", "x")}, "leaves the root"},
		"absolute":            {[]entry{file("/etc/passwd", "x")}, "is absolute"},
		"through link":        {[]entry{link("etc", "/etc"), file("etc/passwd", "x")}, "through the symbolic link"},
		"through deep link":   {[]entry{dir("a"), link("a/b", "."), file("a/./b/c/d", "x")}, "through the symbolic link"},
		"link then folder":    {[]entry{link("etc", "/etc"), dir("etc")}, "symbolic link and then a folder"},
		"hard link out":       {[]entry{hard("x", "../../etc/shadow")}, "leaves the root"},
		"hard link absolute":  {[]entry{hard("x", "/etc/shadow")}, "is absolute"},
		"hard link via link":  {[]entry{link("e", "/etc"), hard("x", "e/shadow")}, "through the symbolic link"},
		"root is a file":      {[]entry{file(".", "x")}, "root is not a folder"},
		"root is a link":      {[]entry{link(".", "/")}, "root is not a folder"},
		"long part":           {[]entry{file(strings.Repeat("n", 256), "x")}, "longer than 255"},
		"long name":           {[]entry{file(strings.Repeat("n/", 2500)+"n", "")}, "longer than 4095"},
		"unknown type":        {[]entry{{tar.Header{Name: "x", Typeflag: '7'}, ""}}, "unknown type"},
		"link to make a root": {[]entry{dir("a"), link("a/l", ".."), file("a/l/l/x", "")}, "through the symbolic link"},
	} {
		path := write(t, filepath.Join(t.TempDir(), "a.tar"), archive(t, c.entries...))
		_, err := list(t.Context(), path, Limits{})
		if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnpackReplacedLinkIsAFolderAgain(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "a.tar"), archive(t, link("a", "/etc"), file("a", "x"), link("b", "a"), hard("c", "b")))
	if _, err := list(t.Context(), path, Limits{}); err != nil {
		t.Error(err)
	}
}

func TestUnpackLimits(t *testing.T) {
	t.Parallel()
	many := make([]entry, 50)
	for i := range many {
		many[i] = file(fmt.Sprintf("f%d", i), "0123456789")
	}
	small := write(t, filepath.Join(t.TempDir(), "a.tar.gz"), pack(t, KindGzip, archive(t, many...)))
	for _, lim := range []Limits{{Entries: 49}, {Bytes: 499}} {
		if _, err := list(t.Context(), small, lim); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v", lim, err)
		}
	}
	if _, err := list(t.Context(), small, Limits{Entries: 50, Bytes: 500}); err != nil {
		t.Error(err)
	}
}

// zeros writes n zero bytes.
func zeros(t testing.TB, w io.Writer, n int64) {
	t.Helper()
	if _, err := io.CopyN(w, zeroReader{}, n); err != nil {
		t.Fatal(err)
	}
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestUnpackBombs(t *testing.T) {
	t.Parallel()
	const size = 128 << 20
	for name, create := range map[string]func(w io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			if err != nil {
				t.Error(err)
			}
			return z
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			z := create(&b)
			w := tar.NewWriter(z)
			if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: size}); err != nil {
				t.Fatal(err)
			}
			zeros(t, w, size)
			if err := errors.Join(w.Close(), z.Close()); err != nil {
				t.Fatal(err)
			}
			path := write(t, filepath.Join(t.TempDir(), "bomb"), b.Bytes())
			var n int64
			_, err := Unpack(t.Context(), path, Limits{}, func(_ *tar.Header, r io.Reader) error {
				m, err := io.Copy(io.Discard, r)
				n += m
				return err
			})
			if !errors.Is(err, ErrLimit) {
				t.Errorf("bomb: %v", err)
			}
			if n > 96<<20 {
				t.Errorf("%d MiB were unpacked of a bomb", n>>20)
			}
		})
	}
}

func TestUnpackXZDictionary(t *testing.T) {
	t.Parallel()
	data := pack(t, KindXZ, archive(t, file("a", "b")))
	for _, c := range []struct {
		at    byte // properties of the LZMA2 filter
		limit bool
	}{{28, false}, {40, true}, {39, true}} {
		bad := bytes.Clone(data)
		i := bytes.Index(bad, []byte{0x21, 0x01})
		bad[i+2] = c.at
		if err := checkXZ(bad); errors.Is(err, ErrLimit) != c.limit {
			t.Errorf("dictionary %d: %v", c.at, err)
		}
	}
}

func TestUnpackDamaged(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("caddies and hosts ", 20_000)
	for _, kind := range []Kind{KindTar, KindGzip, KindXZ, KindZstd} {
		data := pack(t, kind, archive(t, file("a", body), file("b", body)))
		path := write(t, filepath.Join(t.TempDir(), "cut"), data[:len(data)*2/3])
		if _, err := list(t.Context(), path, Limits{}); !errors.Is(err, ErrArchive) {
			t.Errorf("%s cut short: %v", kind, err)
		}
	}
}

func TestUnpackStopsWithItsContext(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "a"), archive(t, file("a", "b")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := list(ctx, path, Limits{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, dir("./"), file("a/b", "c"), link("l", "a"), hard("h", "a/b")))
	f.Add(pack(f, KindGzip, archive(f, file("x", "y"))))
	f.Add(pack(f, KindXZ, archive(f, file("x", "y"))))
	f.Add(pack(f, KindZstd, archive(f, file("x", "y"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Unpack(t.Context(), path, Limits{Bytes: 1 << 20, Entries: 100}, func(h *tar.Header, r io.Reader) error {
			if !filepath.IsLocal(h.Name) || h.Typeflag == tar.TypeLink && !filepath.IsLocal(h.Linkname) {
				t.Errorf("%q → %q leaves the root", h.Name, h.Linkname)
			}
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
}
