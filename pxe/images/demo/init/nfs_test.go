package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFstabMounts(t *testing.T) {
	t.Parallel()
	got := nfsIn("proc /proc proc defaults 0 0\n# 10.0.0.1:/old /old nfs defaults 0 0\n10.0.0.1:/a /mnt/a nfs vers=3,nofail 0 0\n10.0.0.1:/b /b nfs noauto,vers=3 0 0\nshort\n")
	want := []nfs{{"10.0.0.1:/a", "/mnt/a", []string{"vers=3", "nofail"}}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(nfs{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What the kernel is told: nothing of what is for others, and the relay's address
// instead of a loopback address of another machine.
func TestNFSArguments(t *testing.T) {
	t.Parallel()
	options := []string{"vers=3", "tcp", "nolock", "port=2049", "mountport=2050", "nofail", "_netdev", "x-systemd.mount-timeout=30s"}
	const relayed = "console=ttyAMA0 root=/dev/nfs nfsroot=10.0.2.2:/nodes/x,vers=3,port=1001,mountport=1002 rw ip=dhcp\n"
	for name, tc := range map[string]struct{ source, cmdline, wantSource, wantOptions string }{
		"as it is":        {"10.0.0.1:/own/x", relayed, "10.0.0.1:/own/x", "vers=3,tcp,nolock,port=2049,mountport=2050,addr=10.0.0.1"},
		"through a relay": {"127.0.0.1:/own/x", relayed, "10.0.2.2:/own/x", "vers=3,tcp,nolock,port=1001,mountport=1002,addr=10.0.2.2"},
		"no root by NFS":  {"127.0.0.1:/own/x", "root=/dev/sda", "127.0.0.1:/own/x", "vers=3,tcp,nolock,port=2049,mountport=2050,addr=127.0.0.1"},
	} {
		source, opts, err := nfs{source: tc.source, options: options}.arguments(tc.cmdline)
		if err != nil || source != tc.wantSource || opts != tc.wantOptions {
			t.Errorf("%s: %q, %q, %v", name, source, opts, err)
		}
	}
	for _, bad := range []string{"", "10.0.0.1", "10.0.0.1:x", "server:/x"} {
		if _, _, err := (nfs{source: bad}).arguments(relayed); !errors.Is(err, errSource) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
