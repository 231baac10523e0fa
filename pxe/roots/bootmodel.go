package roots

import (
	"slices"

	"caddyshack/baremetal"
)

// Model is a Raspberry Pi as far as booting goes. The empty one is not known:
// what is made for it fits all.
type Model string

// The models.
const (
	Pi3     Model = "pi3"     // 3B
	Pi3Plus Model = "pi3plus" // 3B+
	Pi4     Model = "pi4"
	Pi5     Model = "pi5"
)

func (m Model) check() error {
	if m == "" || slices.Contains([]Model{Pi3, Pi3Plus, Pi4, Pi5}, m) {
		return nil
	}
	return baremetal.Errorf(baremetal.Invalid, "%.40q is no model of a Raspberry Pi; the models are %s, %s, %s and %s", string(m), Pi3, Pi3Plus, Pi4, Pi5)
}

// kernels64 and kernels32 are what the model's firmware looks for without being
// told, best first. A Pi 5 has no 32-bit mode for kernels.
func (m Model) kernels64() []string {
	if m == Pi5 {
		return []string{"kernel_2712.img", "kernel8.img"}
	}
	return []string{"kernel8.img"}
}

func (m Model) kernels32() []string {
	switch m {
	case Pi5:
		return nil
	case Pi3, Pi3Plus:
		return []string{"kernel7.img"}
	case Pi4:
		return []string{"kernel7l.img"}
	}
	return []string{"kernel7l.img", "kernel7.img", "kernel.img"}
}

// console is the serial line on pins 8 and 10. The firmware puts the name of
// the right UART in place of serial0, except on a Pi 5, whose serial0 is the
// separate debug connector.
func (m Model) console() string {
	if m == Pi5 {
		return "ttyAMA0"
	}
	return "serial0"
}
