package console

import (
	"context"
	"errors"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// PortProperty is the key of driver_info that names the serial line.
const PortProperty = "console_port"

// Driver is a console interface of a hardware type: the consoles of its nodes,
// all of one type. See [Socat] and [Shellinabox].
type Driver struct {
	// Consoles runs them, here or on another machine.
	Consoles Consoles
	// Type is TypeSocat or TypeShellinabox.
	Type string
}

var _ drivers.Console = Driver{}

// Socat is the interface "serial-socat": a raw TCP port.
func Socat(c Consoles) Driver { return Driver{Consoles: c, Type: TypeSocat} }

// Shellinabox is the interface "serial-shellinabox": a web page.
func Shellinabox(c Consoles) Driver { return Driver{Consoles: c, Type: TypeShellinabox} }

// None is the interface "no-console" of a hardware type.
func None(hardwareType string) drivers.Absent {
	return drivers.Absent{Driver: hardwareType, What: "console"}
}

// Interfaces are the console interfaces of a hardware type with their names.
// Its default is "serial-shellinabox".
func Interfaces(c Consoles, hardwareType string) map[string]any {
	return map[string]any{
		"serial-shellinabox": Shellinabox(c),
		"serial-socat":       Socat(c),
		"no-console":         None(hardwareType),
	}
}

// Properties describes the keys of driver_info that consoles read.
func Properties() map[string]string {
	return map[string]string{
		PortProperty: "The machine's serial line: the path of a device, best one below /dev/serial/by-path, " +
			"or tcp://HOST:PORT. Required for a console.",
	}
}

// Validate checks that driver_info names a serial line which can be opened, or
// which a console of this node has already.
func (d Driver) Validate(ctx context.Context, t *drivers.Task) error {
	port, err := portOf(t)
	if err != nil {
		return err
	}
	if err := CheckPort(port); err != nil {
		return baremetal.Errorf(baremetal.Invalid, "driver_info: %w", err)
	}
	st, err := d.Consoles.Get(ctx, t.Node.UUID)
	if err == nil && st.Port == port && st.Line == LineUp {
		return nil
	}
	if err := ProbePort(ctx, port); err != nil {
		return baremetal.Errorf(baremetal.Invalid, "driver_info: %w", err)
	}
	return nil
}

func portOf(t *drivers.Task) (string, error) {
	if !t.Node.DriverInfo.Has(PortProperty) {
		return "", baremetal.Errorf(baremetal.Invalid, "Missing %q in the node's driver_info: "+
			"set it to the serial device, best one below /dev/serial/by-path, or to tcp://HOST:PORT.", PortProperty)
	}
	return t.Node.DriverInfo.Str(PortProperty), nil
}

// StartConsole starts the node's console, or leaves it running as it is.
func (d Driver) StartConsole(ctx context.Context, t *drivers.Task) error {
	port, err := portOf(t)
	if err != nil {
		return err
	}
	_, err = d.Consoles.Start(ctx, Spec{NodeID: t.Node.UUID, Name: t.Node.Name, Port: port, Type: d.Type})
	return err
}

// StopConsole stops the node's console, if there is one.
func (d Driver) StopConsole(ctx context.Context, t *drivers.Task) error {
	return d.Consoles.Stop(ctx, t.Node.UUID)
}

// Console tells where the node's console is. One that should run and does not,
// as after a restart of the console service, is an error of kind Unavailable.
func (d Driver) Console(ctx context.Context, t *drivers.Task) (drivers.ConsoleInfo, error) {
	st, err := d.Consoles.Get(ctx, t.Node.UUID)
	if errors.Is(err, ErrNotRunning) {
		return drivers.ConsoleInfo{}, baremetal.Errorf(baremetal.Unavailable,
			"The console of node %s is not running now; disable and enable it.", t.Node.UUID)
	}
	if err != nil {
		return drivers.ConsoleInfo{}, err
	}
	return drivers.ConsoleInfo{Type: st.Info.Type, URL: st.Info.URL}, nil
}
