package heldport

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	addr := Address(t)
	if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) { //nolint:noctx // to a local port
		t.Fatalf("while nobody listens: %v, %v", c, err)
	}
	for range 2 { // and once more after its end
		l, err := net.Listen("tcp", addr) //nolint:noctx // binding does not block
		if err != nil {
			t.Fatal(err)
		}
		if l2, err := net.Listen("tcp", addr); err == nil { //nolint:noctx // binding does not block
			_ = l2.Close()
			t.Error("two listen there")
		}
		c, err := net.Dial("tcp", addr) //nolint:noctx // to a local port
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if other := Address(t); other == addr {
		t.Errorf("%s is given twice", addr)
	}
}
