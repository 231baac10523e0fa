package roots

import (
	"fmt"
	"strings"
)

// firmwareConfig is the image's own config.txt, as far as it matters here.
type firmwareConfig struct {
	text     string   // without what would lead away from our command line
	kernels  []string // values of kernel=
	prefixes []string // values of os_prefix=
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
// and after it what booting in a caddy needs. Later settings win.
func configTxt(c firmwareConfig, s BootSpec) []byte {
	var b strings.Builder
	b.WriteString(c.text)
	b.WriteString("[all]\n# From here on: Caddyshack, for a node that boots from the network.\n")
	if !c.arm64 {
		b.WriteString("arm_64bit=1\n")
	}
	// The serial console, and the firmware's own messages on it.
	b.WriteString("enable_uart=1\nuart_2ndstage=1\n")
	if c.text == "" {
		b.WriteString("kernel=kernel8.img\n")
	}
	if pin := pinOr(s.ShutdownPin, 3); pin >= 0 {
		fmt.Fprintf(&b, "dtoverlay=gpio-shutdown,gpio_pin=%d\n", pin)
	}
	if pin := pinOr(s.PoweroffPin, 26); pin >= 0 {
		fmt.Fprintf(&b, "dtoverlay=gpio-poweroff,gpiopin=%d\n", pin)
	}
	// A Pi 5 has its console elsewhere, and no USB power supply to ask.
	b.WriteString("[pi5]\ndtparam=uart0_console\nusb_max_current_enable=1\n[all]\n")
	return []byte(b.String())
}

// pinOr returns pin, or the default for 0.
func pinOr(pin, otherwise int) int {
	if pin == 0 {
		return otherwise
	}
	return pin
}
