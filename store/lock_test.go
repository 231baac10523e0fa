package store_test

import (
	"os/exec"
	"sync"
	"testing"

	"caddyshack/store"
	"caddyshack/store/storetest"
)

// A process that is being started holds all open files of this one until it
// runs its program: a store that was closed is free all the same.
func TestClosedIsFreeWhileProcessesStart(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exec.CommandContext(t.Context(), "true").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	cfg := storetest.SQLiteConfig(t)
	for range 100 {
		s, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
