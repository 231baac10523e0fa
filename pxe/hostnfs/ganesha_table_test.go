//go:build ganesha

package hostnfs

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/internal/guest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// ganeshaDiffers are the rows of the table of POSIX behaviours in which
// Ganesha 4.3 differs; docs/nfs.md tells why.
var ganeshaDiffers = []string{}

var failedRow = regexp.MustCompile(`(?m)^    --- FAIL: TestTable/(\S+)`)

// TestGaneshaTable runs the table of package kernelmount against Ganesha, over
// the mount of a Linux guest.
func TestGaneshaTable(t *testing.T) {
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
		Env:     []string{fmt.Sprint("NFS_PORT=", g.nfsPort), fmt.Sprint("NFS_MOUNT_PORT=", g.mountPort), "NFS_SHORT=1"},
		Command: []string{"/inguest.test", "-test.v", "-test.timeout=5m"},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	var failed []string
	for _, m := range failedRow.FindAllStringSubmatch(r.Output, -1) {
		failed = append(failed, m[1])
	}
	slices.Sort(failed)
	t.Logf("%d rows passed", strings.Count(r.Output, "    --- PASS"))
	if diff := cmp.Diff(ganeshaDiffers, failed, cmp.Transformer("", func(l []string) string { return strings.Join(l, " ") })); diff != "" {
		t.Errorf("rows that differ (- known, + now):\n%s\n%s", diff, r.Output)
	}
}
