//go:build switches

package linuxbridge_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"caddyshack/internal/guest"
)

// guestTime bounds the guest, on a busy machine.
const guestTime = 9 * time.Minute

// TestInGuest runs the tests of this package that need a bridge with VLAN
// filtering in a guest with Debian's kernel.
func TestInGuest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), guestTime)
	defer cancel()
	program := filepath.Join(t.TempDir(), "tests")
	if err := guest.BuildTest(ctx, ".", "inguest", program); err != nil {
		t.Fatal(err)
	}
	r, err := guest.Run(ctx, guest.Config{
		Modules:   []string{"bridge", "veth"},
		Files:     map[string]string{"/bin/tests": program},
		Command:   []string{"/bin/tests", "-test.v"},
		MemoryMiB: 1024, CPUs: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Output)
	if r.ExitCode != 0 {
		t.Errorf("the tests in the guest failed; the kernel's messages: %s", r.Console)
	}
}
