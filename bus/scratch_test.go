package bus

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSweepScratch(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	old := time.Now().Add(-time.Hour)
	make := func(name string, when time.Time) string {
		dir := filepath.Join(parent, scratchPrefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, when, when); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dead, young, living := make("dead", old), make("young", time.Now()), make("living", old)
	lock, err := lockScratch(living)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() //nolint:errcheck // a test's
	if err := os.Chtimes(living, old, old); err != nil {
		t.Fatal(err)
	}
	sweepScratch(parent)
	for dir, want := range map[string]bool{dead: false, young: true, living: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(dir), err == nil, want)
		}
	}
}
