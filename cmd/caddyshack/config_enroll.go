package main

import "slices"

// The values of enroll.automatic.
const (
	enrolKnown = "known"
	enrolAll   = "all"
	enrolOff   = "off"
)

// EnrollConfig says which caddies become nodes by being plugged in.
type EnrollConfig struct {
	Automatic string `toml:"automatic"`
	// ConsolePort is driver_info.console_port of such nodes, in which {unit} and
	// {slot} are replaced; "" = none.
	ConsolePort string `toml:"console_port"`
}

func (c *EnrollConfig) check() error {
	if !slices.Contains([]string{enrolKnown, enrolAll, enrolOff}, c.Automatic) {
		return bad("enroll.automatic", "%q is not known; use \"known\", \"all\" or \"off\"", c.Automatic)
	}
	return nil
}
