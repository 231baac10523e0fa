package pi

import (
	"fmt"
	"time"
)

// Model is a kind of Raspberry Pi.
type Model string

// The models that boot over the network.
const (
	Pi3 Model = "pi3"
	// Pi3Plus is a 3B+, whose ROM has most of the 3B's faults mended.
	Pi3Plus Model = "pi3plus"
	Pi4     Model = "pi4"
	Pi5     Model = "pi5"
)

// Models lists them.
func Models() []Model { return []Model{Pi3, Pi3Plus, Pi4, Pi5} }

// board holds what differs between the models.
type board struct {
	name string
	// start are the names of the second stage, the preferred one first. Their
	// presence decides whether the prefix is used. Pi 5 has that stage in its
	// EEPROM and looks for config.txt.
	start []string
	// before are the names asked for between config.txt and the second stage,
	// and after those that the second stage asks for first. Most are missing,
	// and that is normal.
	before, after []string
	fixup         string
	tree          string
	overlayMap    string
	// noise are names that are tried before the kernel.
	noise     []string
	kernels64 []string
	kernels32 []string
	stub      string
	filters   []string // sections of config.txt that apply
	uart      string   // what serial0 is
	cpu, part string
	memory    int // MiB
	blksize   int
	// rom tells whether a ROM loads the first stage, and not an EEPROM.
	rom bool
	// fourCC and revision are told by DHCP; dhcpInterval is the pause between
	// two tries there.
	fourCC       string
	revision     uint32
	dhcpInterval time.Duration
}

var boards = map[Model]board{
	Pi3: {
		name:       "Raspberry Pi 3 Model B Rev 1.2",
		start:      []string{"start.elf"},
		before:     []string{"recovery.elf"},
		fixup:      "fixup.dat",
		after:      []string{"recovery.elf", "config.txt", "dt-blob.bin", "recovery.elf", "config.txt", "bootcfg.txt"},
		tree:       "bcm2710-rpi-3-b.dtb",
		noise:      []string{"recovery8.img", "recovery8-32.img", "recovery7.img", "recovery.img", "kernel8-32.img"},
		kernels64:  []string{"kernel8.img"},
		kernels32:  []string{"kernel7.img"},
		stub:       "armstub8-32.img",
		filters:    []string{"pi3"},
		uart:       "ttyS0",
		cpu:        "0x410fd034",
		part:       "BCM2835",
		memory:     1024,
		blksize:    1024,
		overlayMap: "",
		rom:        true, dhcpInterval: 5 * time.Second,
	},
	Pi3Plus: {
		name:      "Raspberry Pi 3 Model B Plus Rev 1.3",
		start:     []string{"start.elf"},
		before:    []string{"recovery.elf"},
		fixup:     "fixup.dat",
		after:     []string{"recovery.elf", "config.txt", "dt-blob.bin", "recovery.elf", "config.txt", "bootcfg.txt"},
		tree:      "bcm2710-rpi-3-b-plus.dtb",
		noise:     []string{"recovery8.img", "recovery8-32.img", "recovery7.img", "recovery.img", "kernel8-32.img"},
		kernels64: []string{"kernel8.img"},
		kernels32: []string{"kernel7.img"},
		stub:      "armstub8-32.img",
		filters:   []string{"pi3", "pi3+"},
		uart:      "ttyS0",
		cpu:       "0x410fd034",
		part:      "BCM2835",
		memory:    1024,
		blksize:   1024,
		rom:       true, dhcpInterval: 5 * time.Second,
	},
	Pi4: {
		name:       "Raspberry Pi 4 Model B Rev 1.4",
		start:      []string{"start4.elf", "start.elf"},
		before:     []string{"pieeprom.sig", "vl805.sig", "recover4.elf", "recovery.elf"},
		fixup:      "fixup4.dat",
		after:      []string{"recovery.elf", "config.txt", "dt-blob.bin", "config.txt"},
		tree:       "bcm2711-rpi-4-b.dtb",
		overlayMap: "overlays/overlay_map.dtb",
		kernels64:  []string{"kernel8.img"},
		kernels32:  []string{"kernel7l.img"},
		stub:       "armstub8-gic.bin",
		filters:    []string{"pi4"},
		uart:       "ttyS0",
		cpu:        "0x410fd083",
		part:       "BCM2711",
		memory:     4096,
		blksize:    1468,
		fourCC:     "RPi4", revision: 0xc03114, dhcpInterval: 4 * time.Second,
	},
	Pi5: {
		name:       "Raspberry Pi 5 Model B Rev 1.0",
		start:      []string{"config.txt"},
		before:     []string{"pieeprom.sig"},
		tree:       "bcm2712-rpi-5-b.dtb",
		overlayMap: "overlays/overlay_map.dtb",
		kernels64:  []string{"kernel_2712.img", "kernel8.img"},
		kernels32:  []string{"kernel_2712.img", "kernel8.img"}, // has no 32-bit mode for kernels
		filters:    []string{"pi5"},
		uart:       "ttyAMA0",
		cpu:        "0x414fd0b1",
		part:       "BCM2712",
		memory:     8192,
		blksize:    1468,
		fourCC:     "RPi5", revision: 0xd04170, dhcpInterval: 4 * time.Second,
	},
}

func boardOf(m Model) (board, error) {
	if m == "" {
		m = Pi4
	}
	b, ok := boards[m]
	if !ok {
		return board{}, fmt.Errorf("model %q is not one of %q, %q, %q, %q", m, Pi3, Pi3Plus, Pi4, Pi5)
	}
	return b, nil
}
