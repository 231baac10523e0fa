// Package unit simulates one backplane unit: an MQTT client that knows nothing
// but the wire contract (bus/testdata), and slots whose power it switches.
//
// The behaviour is a state machine (core, slot) driven by a clock; Unit gives
// it an MQTT connection and real time.
package unit

// Device is what sits in a slot. Its methods are called with the unit's lock
// held: they must return at once and must not call the unit.
type Device interface {
	// Power switches the 5 V of the slot; off takes effect at once.
	Power(on bool)
	// ShutdownRequest asks the operating system to halt; a device that does not listen ignores it.
	ShutdownRequest()
	// Reset restarts the processor without touching its power.
	Reset()
	// Alive tells whether the device says that it runs (PI_ALIVE).
	Alive() bool
}

// Load is a device without an operating system that could be asked, such as a
// network switch: alive whenever it has power.
type Load struct{ on bool }

// Power switches the load.
func (l *Load) Power(on bool) { l.on = on }

// ShutdownRequest is ignored.
func (l *Load) ShutdownRequest() {}

// Reset has no effect that could be seen.
func (l *Load) Reset() {}

// Alive tells whether the load has power.
func (l *Load) Alive() bool { return l.on }
