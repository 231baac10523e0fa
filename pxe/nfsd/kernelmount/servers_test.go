//go:build guest && !inguest

package kernelmount

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"caddyshack/internal/guest"
	"caddyshack/internal/knfsd"
)

// TestKernelServer runs the table against the kernel's own NFS server, which
// the guest runs for itself: the measure for ours.
func TestKernelServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), guestTime)
	defer cancel()
	calls := filepath.Join(t.TempDir(), "nfsd.test")
	if err := guest.BuildTest(ctx, "..", "", calls); err != nil {
		t.Fatal(err)
	}
	c := guest.Config{
		Modules: []string{"nfsv3"}, Files: map[string]string{"/inguest.test": inGuest(t), "/nfsd.test": calls}, MemoryMiB: 1024,
		Env:     []string{"NFS_KERNEL_SERVER=1", "NFS_SHORT=1"},
		Command: []string{"/inguest.test", "-test.v", "-test.timeout=10m"},
	}
	if err := knfsd.Add(ctx, &c); err != nil {
		t.Fatal(err)
	}
	r, err := guest.Run(ctx, c)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	report(t, r)
	var failed []string
	for _, m := range failedCalls.FindAllStringSubmatch(r.Output, -1) {
		failed = append(failed, m[1])
	}
	slices.Sort(failed)
	if !strings.Contains(r.Output, "--- PASS: TestPOSIX/other/") {
		t.Fatalf("no row of calls passed:\n%s", r.Output)
	}
	if !slices.Equal(failed, callsDiffer) {
		t.Errorf("rows of calls that differ: %q, want %q\n%s", failed, callsDiffer, r.Output)
	}
}

// callsDiffer are the rows of the table of package nfsd, call by call, in which
// the kernel's server differs; docs/nfs.md tells why.
var callsDiffer = []string{"chown_and_chmod", "create_and_owners", "dot_and_dotdot", "hard_links", "listing_while_entries_come_and_go",
	"names", "read,_write,_holes", "symbolic_links"}

var failedCalls = regexp.MustCompile(`(?m)^ +--- FAIL: TestPOSIX/other/(\S+)`)

// report fails the test if a case failed.
func report(t *testing.T, r guest.Result) {
	t.Helper()
	if r.ExitCode != 0 || !strings.Contains(r.Output, "\nPASS\n") {
		t.Fatalf("exit code %d\n%s\nconsole:\n%s", r.ExitCode, r.Output, r.Console)
	}
	t.Logf("%d cases passed", strings.Count(r.Output, "    --- PASS"))
}
