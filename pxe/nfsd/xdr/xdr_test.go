package xdr

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u32 := rapid.Uint32().Draw(t, "u32")
		u64 := rapid.Uint64().Draw(t, "u64")
		flag := rapid.Bool().Draw(t, "flag")
		opaque := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "opaque")
		fixed := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "fixed")
		text := rapid.String().Draw(t, "text")

		e := NewEncoder(nil)
		e.Uint32(u32)
		e.Uint64(u64)
		e.Bool(flag)
		e.Opaque(opaque)
		e.Fixed(fixed)
		e.String(text)
		if e.Len()%4 != 0 {
			t.Fatalf("length %d is not a multiple of four", e.Len())
		}

		d := NewDecoder(e.Bytes())
		if got := d.Uint32(); got != u32 {
			t.Fatalf("uint32: got %d, want %d", got, u32)
		}
		if got := d.Uint64(); got != u64 {
			t.Fatalf("uint64: got %d, want %d", got, u64)
		}
		if got := d.Bool(); got != flag {
			t.Fatalf("bool: got %v, want %v", got, flag)
		}
		if got := d.Opaque(40); !bytes.Equal(got, opaque) {
			t.Fatalf("opaque: got %x, want %x", got, opaque)
		}
		if got := d.Fixed(len(fixed)); !bytes.Equal(got, fixed) {
			t.Fatalf("fixed: got %x, want %x", got, fixed)
		}
		if got := d.String(1 << 20); got != text {
			t.Fatalf("string: got %q, want %q", got, text)
		}
		if d.Err() != nil || len(d.Rest()) != 0 {
			t.Fatalf("err %v, %d bytes left", d.Err(), len(d.Rest()))
		}
	})
}

func TestDecoderRefuses(t *testing.T) {
	t.Parallel()
	d := NewDecoder([]byte{0, 0, 0, 2})
	d.Bool()
	if d.Err() == nil {
		t.Error("a boolean of 2 was accepted")
	}
	d = NewDecoder([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	d.Opaque(100)
	var length *LengthError
	if !errors.As(d.Err(), &length) || length.Length != 0xffffffff {
		t.Errorf("an opaque of 4 GiB: got %v", d.Err())
	}
	d = NewDecoder([]byte{0, 0, 0, 5, 1, 2, 3, 4, 5}) // padding is missing
	d.Opaque(100)
	if !errors.Is(d.Err(), ErrShort) {
		t.Errorf("missing padding: got %v", d.Err())
	}
	if d.Uint64() != 0 || !errors.Is(d.Err(), ErrShort) {
		t.Error("the first error did not stick")
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 3, 'a', 'b', 'c', 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(in)
		for d.Err() == nil && len(d.Rest()) > 0 {
			switch d.Uint32() % 5 {
			case 0:
				d.Uint64()
			case 1:
				if b := d.Opaque(64); len(b) > 64 {
					t.Fatalf("opaque of %d bytes", len(b))
				}
			case 2:
				_ = d.String(16)
			case 3:
				d.Bool()
			case 4:
				d.Fixed(7)
			}
		}
	})
}
