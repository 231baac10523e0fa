package roots

import (
	"fmt"
	"slices"
	"strings"
)

// firmwareConfig is the image's own config.txt, as far as it matters here.
type firmwareConfig struct {
	text     string   // without what would lead away from our command line
	kernels  []string // values of kernel=
	prefixes []string // values of os_prefix=
	cmdline  string   // value of cmdline=
	arm64    bool     // arm_64bit= is set
}

// parseConfig reads config.txt. Filters are not looked at: a setting counts
// whatever board it is for.
func parseConfig(data []byte) firmwareConfig {
	var c firmwareConfig
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch key {
		case "cmdline":
			c.cmdline = value
			line = "# not on this node: " + line
		case "kernel":
			c.kernels = append(c.kernels, value)
		case "os_prefix":
			c.prefixes = append(c.prefixes, value)
		case "arm_64bit":
			c.arm64 = true
		}
		out.WriteString(line + "\n")
	}
	c.text = out.String()
	return c
}

// configTxt returns the config.txt of a node: the image's own, if it has one,
// and after it what booting in a caddy needs. Later settings win. has tells
// which files the boot folder holds.
func configTxt(c firmwareConfig, s BootSpec, has func(name string) bool) []byte {
	var b strings.Builder
	b.WriteString(c.text)
	b.WriteString("[all]\n# From here on: Caddyshack, for a node that boots from the network.\n")
	kernel64 := slices.ContainsFunc(s.Model.kernels64(), has)
	if !c.arm64 {
		// Without a choice of the image: what it has a kernel for.
		if kernel64 || len(c.kernels) > 0 || !slices.ContainsFunc(s.Model.kernels32(), has) {
			b.WriteString("arm_64bit=1\n")
		} else {
			b.WriteString("arm_64bit=0\n")
		}
	}
	// The serial console, and the firmware's own messages on it.
	b.WriteString("enable_uart=1\nuart_2ndstage=1\n")
	if c.text == "" && kernel64 {
		i := slices.IndexFunc(s.Model.kernels64(), has)
		b.WriteString("kernel=" + s.Model.kernels64()[i] + "\n")
	}
	if pin := pinOr(s.ShutdownPin, 3); pin >= 0 {
		fmt.Fprintf(&b, "dtoverlay=gpio-shutdown,gpio_pin=%d\n", pin)
	}
	if pin := pinOr(s.PoweroffPin, 26); pin >= 0 {
		fmt.Fprintf(&b, "dtoverlay=gpio-poweroff,gpiopin=%d\n", pin)
	}
	// A Pi 5 has its console elsewhere, and no USB power supply to ask.
	const pi5 = "dtparam=uart0_console\nusb_max_current_enable=1\n"
	switch s.Model {
	case Pi5:
		b.WriteString(pi5)
	case "":
		b.WriteString("[pi5]\n" + pi5)
		if c.text == "" && has("kernel_2712.img") {
			b.WriteString("kernel=kernel_2712.img\n")
		}
		b.WriteString("[all]\n")
	}
	return []byte(b.String())
}

// pinOr returns pin, or the default for 0.
func pinOr(pin, otherwise int) int {
	if pin == 0 {
		return otherwise
	}
	return pin
}
