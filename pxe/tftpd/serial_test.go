package tftpd

import (
	"errors"
	"net/netip"
	"testing"
)

// A machine known by its address alone may use whatever serial number it has;
// once a serial number is registered, another one is a swapped machine.
func TestUnknownSerialOfAKnownAddress(t *testing.T) {
	t.Parallel()
	trees, err := NewTrees(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trees.Close() })
	files := map[string]Content{"config.txt": {Data: []byte("x")}}
	one, two, stranger := netip.MustParseAddr("127.77.1.1"), netip.MustParseAddr("127.77.1.2"), netip.MustParseAddr("127.77.9.9")
	for _, tree := range []Tree{
		{ID: "one", Client: one, Prefixes: []string{"dc-a6-32-00-00-01"}, Files: files},
		{ID: "two", Client: two, Prefixes: []string{"0000beef"}, Files: files},
	} {
		if err := trees.Put(tree); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		client netip.Addr
		name   string
		want   error
	}{
		{one, "c0ff0101/config.txt", nil},
		{one, "dc-a6-32-00-00-01/config.txt", nil},
		{one, "0000beef/config.txt", ErrDenied},
		{one, "boot/config.txt", ErrNotFound},
		{one, "config.txt", ErrNotFound},
		{two, "c0ff0101/config.txt", ErrNotFound},
		{stranger, "c0ff0101/config.txt", ErrNotFound},
	} {
		f, err := trees.Open(t.Context(), tc.client, tc.name)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s asks for %s: %v, want %v", tc.client, tc.name, err, tc.want)
		}
		if f != nil {
			_ = f.Body.Close()
		}
	}
}
