package images

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
)

const someSum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestValidate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	allowed, outside := filepath.Join(dir, "images"), filepath.Join(dir, "secret")
	if err := errors.Join(os.Mkdir(allowed, 0o755), os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(allowed, "a b.tar"), nil, 0o644),
		os.WriteFile(filepath.Join(outside, "s"), nil, 0o644), os.Symlink("a b.tar", filepath.Join(allowed, "link.tar")),
		os.Symlink(outside, filepath.Join(allowed, "out")), os.Symlink("/etc", filepath.Join(allowed, "etc")),
		os.Symlink("/dev/zero", filepath.Join(allowed, "zero")), unix.Mkfifo(filepath.Join(allowed, "fifo"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s := open(t, allowed, nil)
	sum := Checksum{Value: someSum}
	for url, want := range map[string]string{
		"file://" + allowed + "/a%20b.tar":                "",
		"FILE://" + allowed + "/link.tar":                 "",
		"file://localhost" + allowed + "/x/../link.tar":   "",
		"file:///etc/shadow":                              "system folder",
		"file:///dev/zero":                                "system folder",
		"FILE:///var/lib/../../etc":                       "system folder",
		"file:////etc/shadow":                             "system folder",
		"file:///proc/self/root/etc/shadow":               "system folder",
		"file:///var/lib/x":                               "not in an allowed folder",
		"file://" + outside + "/s":                        "not in an allowed folder",
		"file://" + allowed + "/../secret/s":              "not in an allowed folder",
		"file://" + allowed + "/%2e%2e/secret/s":          "not in an allowed folder",
		"file://" + allowed + "x/a":                       "not in an allowed folder",
		"file://" + allowed + "/out/s":                    "symbolic link that leaves",
		"file://" + allowed + "/etc/passwd":               "system folder",
		"file://" + allowed + "/zero":                     "system folder",
		"file://" + allowed + "/fifo":                     "not a regular file",
		"file://" + allowed:                               "not a regular file",
		"file://" + allowed + "/none":                     "does not exist",
		"file://" + allowed + "/a%00":                     "NUL",
		"file://other" + allowed + "/a":                   "another host",
		"file:relative":                                   "form file:///PATH",
		"file://" + allowed + "/a?x=1":                    "form file:///PATH",
		"http://169.254.169.254/latest/meta-data":         "private or local",
		"http://127.0.0.2:1883/":                          "private or local",
		"http://localhost/":                               "private or local",
		"http://[::1]/":                                   "private or local",
		"http://[::ffff:10.0.0.1]/":                       "private or local",
		"http://[fe80::1%25eth0]/":                        "private or local",
		"http://[64:ff9b::7f00:1]/":                       "private or local",
		"http://0.0.0.0/":                                 "private or local",
		"http://100.64.0.1/":                              "private or local",
		"http://10.1.2.3/x.tar":                           "private or local",
		"https://user:pass@example.org/x":                 "user name or password",
		"http:///x":                                       "names no host",
		"http://127.0.0.1:8080/allow-listed":              "",
		"https://example.org/x.tar.gz":                    "",
		"ftp://example.org/x":                             "not supported",
		"example.org/x":                                   "no scheme",
		"":                                                "no image_source",
		"builtin:none":                                    "no builtin image",
		"https://example.org/" + strings.Repeat("x", 9e3): "bytes long",
		"http://[bad":                                     "not a URL",
	} {
		err := s.Validate(Source{URL: url, Checksum: sum})
		switch {
		case want == "" && err != nil:
			t.Errorf("%.80s: %v", url, err)
		case want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want)):
			t.Errorf("%.80s: %v", url, err)
		case want != "" && !baremetal.IsKind(err, baremetal.Invalid):
			t.Errorf("%.80s: kind is %v", url, baremetal.KindOf(err))
		}
	}
	if err := open(t, "", nil).Validate(Source{URL: "file:///srv/x"}); err == nil || !strings.Contains(err.Error(), "no folder is allowed") {
		t.Errorf("nothing allowed: %v", err)
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	s := open(t, "", nil)
	sha512 := strings.Repeat("ab", 64)
	for _, c := range []struct {
		sum  Checksum
		want string
	}{
		{Checksum{"sha256", someSum}, ""},
		{Checksum{"SHA-256", strings.ToUpper(someSum)}, ""},
		{Checksum{"", someSum}, ""},
		{Checksum{"", "sha256:" + someSum}, ""},
		{Checksum{"sha512", sha512}, ""},
		{Checksum{"", sha512}, ""},
		{Checksum{}, "needs a checksum"},
		{Checksum{"sha256", ""}, "without a value"},
		{Checksum{"md5", "d41d8cd98f00b204e9800998ecf8427e"}, "can be forged"},
		{Checksum{"", "d41d8cd98f00b204e9800998ecf8427e"}, "can be forged"},
		{Checksum{"", "http://example.org/SHA256SUMS"}, "is a URL"},
		{Checksum{"sha256", "xyz"}, "not hexadecimal"},
		{Checksum{"sha256", sha512}, "has 128 digits"},
		{Checksum{"crc32", "deadbeef"}, "unknown algorithm"},
		{Checksum{"sha512", "sha256:" + someSum}, "does not fit"},
	} {
		err := s.Validate(Source{URL: "https://example.org/x.tar", Checksum: c.sum})
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.sum, err)
		}
	}
}

func TestOpenRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no folder":       {},
		"relative folder": {Dir: t.TempDir(), FileFolders: []string{"images"}},
		"system folder":   {Dir: t.TempDir(), FileFolders: []string{"/etc"}},
		"wildcard host":   {Dir: t.TempDir(), AllowHosts: []string{"*"}},
		"url as host":     {Dir: t.TempDir(), AllowHosts: []string{"http://x"}},
		"cache is a file": {Dir: "/dev/null"},
	} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAllowHosts(t *testing.T) {
	t.Parallel()
	p, err := newNetPolicy([]string{"mirror.lan", "10.0.0.5:8080", "192.168.7.0/24", "fd00::/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"mirror.lan:80": true, "MIRROR.lan:443": true, "10.0.0.5:8080": true, "10.0.0.5:80": false, "other.lan:80": false, "::1:80": true} {
		i := strings.LastIndex(host, ":")
		if got := p.named(host[:i], host[i+1:]); got != want {
			t.Errorf("named %s: %v", host, got)
		}
	}
	for addr, want := range map[string]bool{"192.168.7.9": true, "192.168.8.9": false, "fd12::1": true, "8.8.8.8": true, "::ffff:192.168.7.1": true, "2606:4700::1": true, "224.0.0.1": false, "255.255.255.255": false} {
		if got := p.address(netip.MustParseAddr(addr)); got != want {
			t.Errorf("address %s: %v", addr, got)
		}
	}
}
