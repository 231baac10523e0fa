//go:build guest && !inguest

package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/internal/guest"
	"caddyshack/internal/knfsd"
)

// TestKernelServerUnderServe runs the tests of kernel_nfs_in_guest_test.go.
func TestKernelServerUnderServe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	// Compiled as usual, and not as a static program, for which all would have
	// to be compiled once more.
	program := filepath.Join(t.TempDir(), "inguest.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "inguest", "-ldflags", "-s -w", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := guest.Config{Files: map[string]string{}, MemoryMiB: 1024,
		Command: []string{"/bin/inguest.test", "-test.v", "-test.run=^TestDeployThroughKernel$", "-test.timeout=8m"}}
	if err := guest.AddPrograms(ctx, c.Files, program); err != nil {
		t.Fatal(err)
	}
	if err := knfsd.Add(ctx, &c); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r, err := guest.Run(ctx, c)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	if r.ExitCode != 0 || !strings.Contains(r.Output, "--- PASS: TestDeployThroughKernel") {
		t.Fatalf("exit code %d\n%s\nconsole:\n%s", r.ExitCode, r.Output, r.Console)
	}
	t.Logf("the guest ran for %v", time.Since(began).Round(time.Second))
}
