//go:build ganesha

package hostnfs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/internal/ganesha"
	"caddyshack/internal/guest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// The rows of the tables in which Ganesha 4.3 differs, over a mount and call
// by call; docs/nfs.md tells why.
var (
	mountDiffers = []string{}
	callsDiffer  = []string{"chown_and_chmod", "create_and_owners", "hard_links", "listing_while_entries_come_and_go",
		"names", "read,_write,_holes", "time_stamps", "truncate"}
)

var failedRow = regexp.MustCompile(`(?m)^ +--- FAIL: Test(?:Table|POSIX/other)/(\S+)`)

// differences compares the rows that failed with those that are known to.
func differences(t *testing.T, known []string, output string) {
	t.Helper()
	var failed []string
	for _, m := range failedRow.FindAllStringSubmatch(output, -1) {
		failed = append(failed, m[1])
	}
	slices.Sort(failed)
	t.Logf("%d rows passed", strings.Count(output, " --- PASS"))
	if diff := cmp.Diff(strings.Join(known, "\n"), strings.Join(failed, "\n")); diff != "" {
		t.Errorf("rows that differ (- known, + now):\n%s\n%s", diff, output)
	}
}

// TestGaneshaCalls runs the table of package nfsd against Ganesha.
func TestGaneshaCalls(t *testing.T) {
	if !ganesha.Again(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	g := startGanesha(t)
	e := roots.Export{NodeID: "n", Path: "/nodes/n", Dir: newRoot(t, rootfs.Native), Client: netip.MustParseAddr("127.0.0.1")}
	if err := g.exports.OpenExport(ctx, e); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^TestPOSIX$", "../nfsd")
	cmd.Env = append(os.Environ(), "NFSD_OTHER_NFS="+g.nfsAddr, "NFSD_OTHER_MOUNT="+g.mountAddr, "NFSD_OTHER_PATH="+e.Path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "--- PASS: TestPOSIX/other/") {
		t.Fatalf("no row passed:\n%s", out)
	}
	differences(t, callsDiffer, string(out))
}

// TestGaneshaTable runs the table of package kernelmount against Ganesha, over
// the mount of a Linux guest.
func TestGaneshaTable(t *testing.T) {
	if !ganesha.Again(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "inguest.test")
	if err := guest.BuildTest(ctx, "../nfsd/kernelmount", "inguest", program); err != nil {
		t.Fatal(err)
	}
	g := startGanesha(t)
	e := roots.Export{NodeID: "n", Path: "/nodes/n", Dir: newRoot(t, rootfs.Native), Client: netip.MustParseAddr("127.0.0.1")}
	if err := g.exports.OpenExport(ctx, e); err != nil {
		t.Fatal(err)
	}
	r, err := guest.Run(ctx, guest.Config{
		Modules: []string{"nfsv3"},
		Files:   map[string]string{"/inguest.test": program},
		Env:     []string{fmt.Sprint("NFS_PORT=", g.NFSPort), fmt.Sprint("NFS_MOUNT_PORT=", g.MountPort), "NFS_SHORT=1"},
		Command: []string{"/inguest.test", "-test.v", "-test.timeout=5m"},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	differences(t, mountDiffers, r.Output)
}
