package configdrive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
)

// fat makes an image as Nova does, with mkfs.vfat, and copies files into it
// with mtools (Debian packages dosfstools, mtools).
func fat(t testing.TB, files map[string]string, bytes int64, options ...string) []byte {
	t.Helper()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "drive.img")
	for name, body := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(out, nil, 0o600), os.Truncate(out, bytes)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{append(append([]string{"/usr/sbin/mkfs.vfat", "-n", "config-2"}, options...), out), {"mcopy", "-s", "-i", out, filepath.Join(dir, "openstack"), "::"}} {
		if b, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, b)
		}
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVFAT(t *testing.T) {
	t.Parallel()
	files := novaFiles()
	files["openstack/latest/user_data"] = "#!/bin/sh\n" + strings.Repeat("# a line\n", 3000) // many clusters
	want, err := fromImage(iso(t, files))
	if err != nil {
		t.Fatal(err)
	}
	for name, image := range map[string][]byte{
		"FAT12": fat(t, files, 2<<20, "-F", "12"), "FAT16, as Nova's": fat(t, files, 64<<20), "FAT32": fat(t, files, 40<<20, "-F", "32", "-s", "1"),
	} {
		got, err := DecodeFetched(packed(t, image))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestHostileVFAT(t *testing.T) {
	t.Parallel()
	image := fat(t, novaFiles(), 16<<20, "-F", "16", "-s", "1")
	reserved, tables, size := int(binary.LittleEndian.Uint16(image[14:])), int(image[16]), int(binary.LittleEndian.Uint16(image[22:]))
	table, root := reserved*512, (reserved+tables*size)*512
	entry := root
	for string(image[entry:entry+8]) != "OPENST~1" {
		if entry += 32; entry > len(image)-64 {
			t.Fatal("the image has no entry for the folder openstack")
		}
	}
	first := binary.LittleEndian.Uint16(image[entry+26:])
	le16 := func(n uint16) []byte { return binary.LittleEndian.AppendUint16(nil, n) }
	for name, tc := range map[string]struct {
		image []byte
		says  string
	}{
		"chain in a circle": {patch(image, table+2*int(first), le16(first)...), "a folder of it more than"},
		"folder in a circle": {func() []byte { // openstack's first entry besides . and .. leads to openstack
			at := root + int(binary.LittleEndian.Uint16(image[17:]))*32 + (int(first)-2)*512
			out := bytes.Clone(image)
			for e := at + 64; e < at+512; e += 32 {
				if out[e+11] == 0x10 {
					copy(out[e+26:], le16(first))
				}
			}
			return out
		}(), "nested more than"},
		"past the end":       {patch(image, entry+26, le16(0xfff0)...), "leads nowhere"},
		"no cluster":         {patch(image, entry+26, 0, 0), "leads nowhere"},
		"cut off":            {image[:root+int(binary.LittleEndian.Uint16(image[17:]))*32+512], "leads nowhere"},
		"no sectors":         {patch(image, 11, 0, 0), "damaged"},
		"no clusters":        {patch(image, 13, 0), "damaged"},
		"table past the end": {patch(image, 22, 0xff, 0xff), "damaged"},
		"name with a slash":  {patch(image, entry-32+1, '/'), "of the name"},
	} {
		_, err := fromImage(tc.image)
		if err == nil || !strings.Contains(err.Error(), tc.says) || !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVFAT: whatever an image holds, reading it ends.
func FuzzVFAT(f *testing.F) {
	files := map[string]string{"openstack/latest/meta_data.json": `{"hostname": "h"}`, "openstack/latest/a-long-name.txt": "x"}
	f.Add(fat(f, files, 64<<10, "-F", "12", "-r", "16", "-R", "1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isFAT(data) {
			return
		}
		files, err := readFAT(data)
		if err != nil && !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%v", err)
		}
		sum := 0
		for _, b := range files {
			sum += len(b)
		}
		if sum > maxImage {
			t.Errorf("%d bytes came out of %d", sum, len(data))
		}
	})
}
