package ganesha

import (
	"os"
	"testing"
)

// Again runs the test that calls it once more in the namespaces of Command and
// reports how that ended. There it returns true, and the test does its work.
func Again(t *testing.T) bool {
	t.Helper()
	if Inside() {
		leave, err := Enter()
		if err != nil {
			t.Fatalf("entering the namespaces: %v", err)
		}
		t.Cleanup(leave)
		return true
	}
	cmd := Command(t.Context(), "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=15m")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("in namespaces of its own, which needs root: %v", err)
	}
	return false
}

// StartT is Start for a test, which sees the log if it fails.
func StartT(t *testing.T) *Server {
	t.Helper()
	s, err := Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Ganesha's log:\n%s", s.Log())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
