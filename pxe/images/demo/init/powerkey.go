package main

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
)

// From linux/input-event-codes.h.
const (
	evKey    = 1
	keyPower = 116
	// inputEvent is the size of struct input_event on 64-bit systems: two
	// longs of time, type, code, value.
	inputEvent = 24
)

// watchPowerKey calls off when the power key of any input device is pressed.
// The gpio-shutdown overlay, by which the backplane asks for a shutdown, and
// the power button of an emulator arrive here.
func watchPowerKey(dir string, off func()) {
	names, err := filepath.Glob(filepath.Join(dir, "event*"))
	if err != nil {
		return
	}
	for _, n := range names {
		f, err := os.Open(n)
		if err != nil {
			continue
		}
		go func() {
			defer f.Close() //nolint:errcheck // read only
			if powerKeyPressed(f) {
				off()
			}
		}()
	}
}

// powerKeyPressed reads events until the power key is pressed (true) or the
// device ends.
func powerKeyPressed(r io.Reader) bool {
	var e [inputEvent]byte
	for {
		if _, err := io.ReadFull(r, e[:]); err != nil {
			return false
		}
		kind, code := binary.NativeEndian.Uint16(e[16:]), binary.NativeEndian.Uint16(e[18:])
		if value := binary.NativeEndian.Uint32(e[20:]); kind == evKey && code == keyPower && value == 1 {
			return true
		}
	}
}
