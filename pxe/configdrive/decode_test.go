package configdrive

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
)

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f one"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP/+/fz7+vn49/b19PPy8fDv7u3s6+rp6Ofm5eTj4uHg two"
)

// iso makes an image as the clients do, with Debian's genisoimage and options of
// ours after theirs.
func iso(t testing.TB, files map[string]string, options ...string) []byte {
	t.Helper()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "drive.iso")
	for name, body := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if len(options) == 0 {
		options = []string{"-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-J", "-r"}
	}
	args := append([]string{"-o", out, "-quiet", "-no-pad", "-V", "config-2"}, options...)
	if b, err := exec.CommandContext(t.Context(), "genisoimage", append(args, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("genisoimage (Debian package genisoimage): %v\n%s", err, b)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// text is data as the JSON of a string in base64, broken into lines.
func text(data []byte) []byte {
	s := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	b.WriteString(s + "\n")
	out, _ := json.Marshal(b.String())
	return out
}

func novaFiles() map[string]string {
	meta := `{"uuid": "u-1", "hostname": "vm.novalocal", "name": "my vm", "launch_index": 0, "admin_pass": "s3cret",
		"public_keys": {"mine": "` + key1 + `\n"}, "files": [{"path": "/etc/motd", "content_path": "/content/0000"}]}`
	return map[string]string{
		"openstack/2012-08-10/meta_data.json": `{"hostname": "old"}`,
		"openstack/latest/meta_data.json":     meta,
		"openstack/latest/user_data":          "#!/bin/sh\necho hello\n",
		"openstack/latest/network_data.json":  `{"links": [], "networks": [], "services": []}`,
		"openstack/latest/vendor_data.json":   `{"cloud-init": "#cloud-config\n{}\n"}`,
		"openstack/latest/vendor_data2.json":  `{}`,
		"openstack/content/0000":              "welcome\n",
	}
}

func TestEveryForm(t *testing.T) {
	t.Parallel()
	plain := iso(t, novaFiles())
	want := Drive{
		MetaData: map[string]any{"uuid": "u-1", "hostname": "vm.novalocal", "name": "my vm", "launch_index": json.Number("0"), "admin_pass": "s3cret",
			"public_keys": map[string]any{"mine": key1 + "\n"},
			"files":       []any{map[string]any{"path": "/etc/motd", "content_path": "/content/0000"}}},
		UserData:    []byte("#!/bin/sh\necho hello\n"),
		NetworkData: map[string]any{"links": []any{}, "networks": []any{}, "services": []any{}},
		VendorData:  map[string]any{"cloud-init": "#cloud-config\n{}\n"}, VendorData2: map[string]any{},
		Files: []File{{"etc/motd", []byte("welcome\n")}},
	}
	onlyISO := func(options ...string) []byte { return text(iso(t, novaFiles(), options...)) }
	for name, tc := range map[string]struct {
		decode func([]byte) (Drive, error)
		data   []byte
	}{
		"base64 gzip":         {Decode, text(packed(t, plain))},
		"base64 plain":        {Decode, text(plain)},
		"no Joliet":           {Decode, onlyISO("-l", "-r")},
		"no Rock Ridge":       {Decode, onlyISO("-ldots", "-allow-lowercase", "-allow-multidot", "-l")},
		"fetched gzip":        {DecodeFetched, packed(t, plain)},
		"fetched image":       {DecodeFetched, plain},
		"fetched base64":      {DecodeFetched, []byte(base64.StdEncoding.EncodeToString(packed(t, plain)) + "\n")},
		"fetched JSON string": {DecodeFetched, text(plain)},
	} {
		got, err := tc.decode(tc.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	object := `{"meta_data": {"hostname": "h", "public_keys": ["` + key1 + `"]}, "user_data": {"a": [1]}, "network_data": null, "vendor_data": {"x": 1.50}}`
	want = Drive{MetaData: map[string]any{"hostname": "h", "public_keys": []any{key1}}, UserData: []byte(`{"a":[1]}`), VendorData2: map[string]any{"x": json.Number("1.50")}}
	for name, decode := range map[string]func([]byte) (Drive, error){"object": Decode, "fetched object": DecodeFetched} {
		got, err := decode([]byte(object))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, d)
		}
	}
	old := novaFiles()
	for name := range old {
		if strings.Contains(name, "latest") {
			delete(old, name)
		}
	}
	if got, err := Decode(text(iso(t, old))); err != nil || got.Hostname() != "old" {
		t.Errorf("an image of dated versions alone: %+v, %v", got, err)
	}
}

// patch returns a copy of an image with some bytes replaced.
func patch(image []byte, at int, b ...byte) []byte {
	out := bytes.Clone(image)
	copy(out[at:], b)
	return out
}

// le32 is n as ECMA-119 has it first.
func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

func TestHostileDrives(t *testing.T) {
	t.Parallel()
	with := func(name, body string) []byte {
		files := novaFiles()
		files[name] = body
		return text(iso(t, files))
	}
	meta := func(body string) []byte { return with("openstack/latest/meta_data.json", body) }
	plain := iso(t, novaFiles(), "-l", "-r")
	// Where the root folder and its first entry, the folder openstack, begin.
	root := int(binary.LittleEndian.Uint32(plain[16*isoSector+156+2:])) * isoSector
	openstack := root + int(plain[root])
	openstack += int(plain[openstack])
	nm := bytes.Index(plain, []byte("NM\x0e")) // openstack, 9 letters
	if nm < 0 {
		t.Fatal("the image has no Rock Ridge name for openstack")
	}
	for name, tc := range map[string]struct {
		text  []byte
		says  string
		limit bool
	}{
		"bomb":              {text(packed(t, make([]byte, 65<<20))), "more than 64 MiB", true},
		"huge":              {[]byte(`"` + strings.Repeat("A", MaxTransport) + `"`), "at most", true},
		"huge user_data":    {with("openstack/latest/user_data", strings.Repeat("x", maxDocument+1)), "user_data has", true},
		"number":            {[]byte(`5`), "a string or an object", false},
		"two values":        {[]byte(`{} {}`), "follows", false},
		"no base64":         {[]byte(`"a b c!"`), "base64", false},
		"garbage":           {text([]byte("garbage")), "not an ISO 9660", false},
		"cut gzip":          {text(packed(t, plain)[:1000]), "damaged", false},
		"cut image":         {text(plain[:20*isoSector]), "cut off", false},
		"no folder":         {text(iso(t, map[string]string{"x": "y"})), "no folder openstack/latest", false},
		"bad meta_data":     {meta(`{`), "not JSON", false},
		"list meta_data":    {meta(`[]`), "must hold an object", false},
		"unknown key":       {[]byte(`{"metadata": {}}`), "the keys are", false},
		"bad key":           {[]byte(`{"meta_data": {"public_keys": ["ssh-rsa nonsense"]}}`), "public key", false},
		"key of many lines": {[]byte(`{"meta_data": {"public_keys": {"a": "` + key1 + `\nroot::0:0::/:/bin/sh"}}}`), "public key", false},
		"file leaves":       {meta(`{"files": [{"path": "/etc/../../x", "content_path": "/content/0000"}]}`), "must be clean", false},
		"file is a folder":  {meta(`{"files": [{"path": "/", "content_path": "/content/0000"}]}`), "not the path of a file", false},
		"file with NUL":     {meta(`{"files": [{"path": "/a\u0000b", "content_path": "/content/0000"}]}`), "NUL", false},
		"file from outside": {meta(`{"files": [{"path": "/a", "content_path": "/../../etc/shadow"}]}`), "lacks", false},
		"many files":        {meta(`{"files": [` + strings.Repeat(`{},`, maxFiles) + `{}]}`), "at most 256", true},
		"same file often": {func() []byte {
			files := novaFiles()
			files["openstack/content/0000"] = strings.Repeat("x", 1<<20)
			e := `{"path": "/a", "content_path": "/content/0000"}`
			files["openstack/latest/meta_data.json"] = `{"files": [` + strings.Repeat(e+",", 20) + e + `]}`
			return text(iso(t, files))
		}(), "more than 16 MiB", true},
		"folder in a circle":     {text(patch(plain, openstack+2, le32(uint32(root/isoSector))...)), "nested more than", true},
		"folder past the end":    {text(patch(plain, openstack+2, le32(1<<31)...)), "cut off", false},
		"folder without end":     {text(patch(plain, openstack+10, le32(1<<32-1)...)), "bytes", true},
		"record shorter than it": {text(patch(plain, openstack, 20)), "damaged", false},
		"name with a slash":      {text(patch(plain, nm+5, []byte("../../../")...)), "of the name", false},
	} {
		_, err := Decode(tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.says) || !baremetal.IsKind(err, baremetal.Invalid) || errors.Is(err, ErrLimit) != tc.limit {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A continuation area that points to itself ends, and costs nothing.
func TestContinuationInACircle(t *testing.T) {
	t.Parallel()
	area := append([]byte{'C', 'E', 28, 1}, make([]byte, 24)...)
	copy(area[20:], le32(28))
	area[4] = 0 // block 0, offset 0: itself
	im := &isoImage{data: append(bytes.Clone(area), make([]byte, isoSector)...)}
	if name, regular := im.rockRidge(area); name != "" || !regular {
		t.Errorf("got %q %v", name, regular)
	}
}

// TestLinksAreNotFollowed: a symbolic link of an image is no file.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "x.iso")
	latest := filepath.Join(dir, "openstack", "latest")
	if err := errors.Join(os.MkdirAll(latest, 0o755), os.Symlink("/etc/shadow", filepath.Join(latest, "user_data")),
		os.WriteFile(filepath.Join(latest, "meta_data.json"), []byte(`{"hostname": "h"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.CommandContext(t.Context(), "genisoimage", "-o", out, "-quiet", "-r", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Decode(text(data))
	if err != nil || d.UserData != nil || d.Hostname() != "h" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`" https://a/b "`: "https://a/b", `"H4sI"`: "", `{"meta_data": {"a": "https://a"}}`: "", `5`: "",
	} {
		if got := URL([]byte(in)); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

// check looks at what a drive says: it stays inside the root and within the
// limits, and can be handed over.
func (d Drive) check(t *testing.T) {
	t.Helper()
	sum := 0
	for _, file := range d.Files {
		sum += len(file.Data)
		if p, err := cleanPath(file.Path); err != nil || p != file.Path || strings.HasPrefix(p, "../") {
			t.Errorf("a file goes to %q", file.Path)
		}
	}
	if len(d.Files) > maxFiles || sum > maxFileBytes {
		t.Errorf("%d files with %d bytes", len(d.Files), sum)
	}
	if _, err := d.NoCloud("id", "host", "02:00:00:00:00:01"); err != nil {
		t.Errorf("no seed: %v", err)
	}
	if _, err := d.Basics(); err != nil && !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("basics: %v", err)
	}
}

// FuzzDecode: whatever comes, reading it ends.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"meta_data": {"public_keys": {"a": "` + key1 + `"}, "files": [{}]}, "user_data": "#cloud-config\nusers: [default, {name: a, ssh_authorized_keys: []}]\n"}`))
	f.Add([]byte(`{"network_data": {"links": [{"id": "a", "ethernet_mac_address": "x"}, {"type": "vlan", "vlan_link": "a", "vlan_id": {}}], "networks": [{"link": "a", "type": "ipv4"}]}, "vendor_data": {"cloud-init": ["a"]}}`))
	f.Add([]byte(`"H4sI"`))
	f.Add(packed(f, []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := DecodeFetched(data)
		if err == nil {
			d.check(t)
		} else if !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzImage: whatever follows the unused first sectors of an image, reading it
// ends.
func FuzzImage(f *testing.F) {
	plain := iso(f, map[string]string{"openstack/latest/meta_data.json": `{"files": [{"path": "/x", "content_path": "/content/0"}]}`, "openstack/content/0": "x"}, "-l", "-r")
	f.Add(plain[16*isoSector:])
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := fromImage(append(make([]byte, 16*isoSector), data...))
		if err == nil {
			d.check(t)
		} else if !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%v", err)
		}
	})
}
