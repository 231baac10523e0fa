package provision_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

const program = "../build/bpu-sim"

// TestMain builds the unit that the tests talk to.
func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	out, err := exec.CommandContext(ctx, "make", "-s", "-C", "..", "host").CombinedOutput()
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building bpu-sim (Debian packages g++, make, libbearssl-dev): %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
