// Package xdr reads and writes the External Data Representation of RFC 4506,
// as far as ONC RPC, MOUNT and NFS version 3 use it.
//
// Both sides work on one byte slice: a Decoder never copies and never
// allocates, an Encoder appends. Lengths are checked against a limit given by
// the caller and against the bytes that are really there, so that a lying
// length costs nothing.
package xdr

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort means that the input ended inside a value.
var ErrShort = errors.New("xdr: input ends inside a value")

// Decoder reads values from one message. The first error sticks: later reads
// return zero values, so that a caller may read a whole structure and look at
// Err once.
type Decoder struct {
	buf []byte
	off int
	err error
}

// NewDecoder returns a Decoder that reads b. Slices it returns point into b.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Err returns the first error met, or nil.
func (d *Decoder) Err() error { return d.err }

// Rest returns the bytes not read yet.
func (d *Decoder) Rest() []byte { return d.buf[d.off:] }

// Fail records err if no earlier error was met; callers use it for values
// that are well formed but not allowed.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.buf)-d.off {
		d.err = ErrShort
		return nil
	}
	b := d.buf[d.off : d.off+n : d.off+n]
	d.off += n
	return b
}

// Uint32 reads an unsigned integer.
func (d *Decoder) Uint32() uint32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Uint64 reads an unsigned hyper integer.
func (d *Decoder) Uint64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Bool reads a boolean; anything but 0 and 1 is an error.
func (d *Decoder) Bool() bool {
	switch v := d.Uint32(); v {
	case 0:
		return false
	case 1:
		return true
	default:
		d.Fail(fmt.Errorf("xdr: boolean has the value %d", v))
		return false
	}
}

// Fixed reads n bytes of fixed-length opaque data and its padding.
func (d *Decoder) Fixed(n int) []byte {
	b := d.take(n)
	d.take(pad(n))
	if d.err != nil {
		return nil
	}
	return b
}

// Opaque reads variable-length opaque data of at most limit bytes.
func (d *Decoder) Opaque(limit int) []byte {
	n := d.Uint32()
	if d.err != nil {
		return nil
	}
	if uint64(n) > uint64(limit) {
		d.Fail(&LengthError{Length: n, Limit: limit})
		return nil
	}
	return d.Fixed(int(n))
}

// String reads a string of at most limit bytes.
func (d *Decoder) String(limit int) string { return string(d.Opaque(limit)) }

// LengthError is a variable-length value longer than its limit.
type LengthError struct {
	Length uint32
	Limit  int
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("xdr: length %d is over the limit of %d", e.Length, e.Limit)
}

// Encoder appends values to a buffer.
type Encoder struct {
	buf []byte
}

// NewEncoder returns an Encoder that appends to b.
func NewEncoder(b []byte) *Encoder { return &Encoder{buf: b} }

// Bytes returns all that was written, with what the buffer held before.
func (e *Encoder) Bytes() []byte { return e.buf }

// Len returns the length of Bytes.
func (e *Encoder) Len() int { return len(e.buf) }

// Truncate drops everything written after length n.
func (e *Encoder) Truncate(n int) { e.buf = e.buf[:n] }

// Uint32 writes an unsigned integer.
func (e *Encoder) Uint32(v uint32) { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }

// Uint64 writes an unsigned hyper integer.
func (e *Encoder) Uint64(v uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }

// Bool writes a boolean.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Uint32(1)
	} else {
		e.Uint32(0)
	}
}

// Fixed writes fixed-length opaque data and its padding.
func (e *Encoder) Fixed(b []byte) {
	e.buf = append(e.buf, b...)
	e.padding(len(b))
}

// Opaque writes variable-length opaque data.
func (e *Encoder) Opaque(b []byte) {
	e.Uint32(uint32(len(b)))
	e.Fixed(b)
}

// String writes a string.
func (e *Encoder) String(s string) {
	e.Uint32(uint32(len(s)))
	e.buf = append(e.buf, s...)
	e.padding(len(s))
}

// Patch32 overwrites the integer at offset off, for values known only later.
func (e *Encoder) Patch32(off int, v uint32) { binary.BigEndian.PutUint32(e.buf[off:], v) }

// Reserve appends n bytes of undefined content for the caller to fill and
// returns them; Encoder methods called later may move the buffer.
func (e *Encoder) Reserve(n int) []byte {
	l := len(e.buf)
	if cap(e.buf)-l < n {
		grown := make([]byte, l, l+n+64)
		copy(grown, e.buf)
		e.buf = grown
	}
	e.buf = e.buf[:l+n]
	return e.buf[l:]
}

// Extend makes the next n bytes, filled through an earlier Reserve, part of the
// output, and pads them as opaque data.
func (e *Encoder) Extend(n int) {
	e.buf = e.buf[:len(e.buf)+n]
	e.padding(n)
}

func (e *Encoder) padding(n int) {
	var zero [4]byte
	e.buf = append(e.buf, zero[:pad(n)]...)
}

// pad returns how many bytes fill n up to a multiple of four.
func pad(n int) int { return -n & 3 }
