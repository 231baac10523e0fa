package bus_test

import (
	"context"
	"testing"
	"time"

	"caddyshack/bus/bustest"
)

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(bustest.Patience):
		t.Fatal("it did not come")
		panic("unreachable")
	}
}

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
