package pi

import (
	"slices"
	"strconv"
	"strings"
)

// BootConfig is what the firmware takes from config.txt.
type BootConfig struct {
	// Kernel is the name set by kernel=, or empty.
	Kernel string
	// Initramfs are the names given to initramfs.
	Initramfs []string
	// Prefix stands before the names of kernel, device tree, command line and
	// overlays (os_prefix=).
	Prefix string
	// Cmdline is the name of the command line file.
	Cmdline string
	// DeviceTree is the name set by device_tree=, or empty.
	DeviceTree string
	// StartFile and FixupFile are the names set by start_file= and
	// fixup_file=, or empty.
	StartFile, FixupFile string
	// Overlays are the names of the device tree overlays, without parameters.
	Overlays []string
	// Arm64 tells whether the kernel is a 64-bit one.
	Arm64 bool
	// UART tells whether the serial console works (enable_uart=).
	UART bool
	// Verbose tells whether the second stage prints to it (uart_2ndstage=).
	Verbose bool
}

// HasOverlay tells whether a device tree overlay was asked for.
func (c *BootConfig) HasOverlay(name string) bool { return slices.Contains(c.Overlays, name) }

// ParseConfig reads config.txt as the firmware of a model does: lines of
// key=value under section filters such as [pi4], [all] or [0x1234abcd], of
// which those of one kind replace each other and those of different kinds must
// all match. Lines that mean nothing to it are skipped.
func ParseConfig(data []byte, model Model, serial uint32) BootConfig {
	c := BootConfig{Cmdline: "cmdline.txt", Arm64: true}
	sections := newFilter(model, serial)
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			sections.enter(line)
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") || !sections.pass() {
			continue
		}
		// The one command without an equals sign.
		if rest, ok := strings.CutPrefix(line, "initramfs "); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				c.Initramfs = strings.Split(f[0], ",")
			}
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			c.set(strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
	return c
}

func (c *BootConfig) set(key, value string) {
	on := value != "" && value != "0"
	switch key {
	case "kernel":
		c.Kernel = value
	case "os_prefix":
		c.Prefix = value
	case "cmdline":
		c.Cmdline = value
	case "device_tree":
		c.DeviceTree = value
	case "start_file":
		c.StartFile = value
	case "fixup_file":
		c.FixupFile = value
	case "arm_64bit":
		c.Arm64 = on
	case "enable_uart":
		c.UART = on
	case "uart_2ndstage":
		c.Verbose = on
	case "dtoverlay":
		if name, _, _ := strings.Cut(value, ","); name != "" {
			c.Overlays = append(c.Overlays, name)
		}
	case "dtparam":
		// On a Pi 5, serial0 is on the header only with this.
		if value == "uart0_console" || strings.HasPrefix(value, "uart0_console=") {
			c.UART = true
		}
	}
}

// filter keeps which sections of config.txt apply.
type filter struct {
	models []string
	serial uint32
	// Whether the last filter of each kind matched.
	model, number, other bool
}

func newFilter(model Model, serial uint32) *filter {
	f := &filter{serial: serial}
	if b, err := boardOf(model); err == nil {
		f.models = b.filters
	}
	f.reset()
	return f
}

func (f *filter) reset() { f.model, f.number, f.other = true, true, true }

func (f *filter) pass() bool { return f.model && f.number && f.other }

func (f *filter) enter(line string) {
	name, _, _ := strings.Cut(strings.ToLower(line[1:]), "]")
	switch {
	case name == "all":
		f.reset()
	case strings.HasPrefix(name, "0x"):
		n, err := strconv.ParseUint(name[2:], 16, 64)
		f.number = err == nil && uint32(n) == f.serial
	case strings.HasPrefix(name, "pi"):
		f.model = slices.Contains(f.models, name)
	default: // none, tryboot, board types and edges that this Pi has not
		f.other = false
	}
}
