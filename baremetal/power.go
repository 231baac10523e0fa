package baremetal

// PowerState is a node's power as last read back; "" means unknown and is
// null on the wire.
type PowerState string

// The power states a node can show.
const (
	PowerUnknown PowerState = ""
	PowerOn      PowerState = "power on"
	PowerOff     PowerState = "power off"
	PowerError   PowerState = "error"
)

// PowerTarget is what a caller may ask of a node's power.
type PowerTarget string

// The targets of PUT states/power.
const (
	TargetOn         PowerTarget = "power on"
	TargetOff        PowerTarget = "power off"
	TargetReboot     PowerTarget = "rebooting"
	TargetSoftReboot PowerTarget = "soft rebooting"
	TargetSoftOff    PowerTarget = "soft power off"
)

// Valid tells whether t is one of the five targets.
func (t PowerTarget) Valid() bool {
	switch t {
	case TargetOn, TargetOff, TargetReboot, TargetSoftReboot, TargetSoftOff:
		return true
	}
	return false
}

// Soft tells whether the operating system is asked first (API 1.27).
func (t PowerTarget) Soft() bool { return t == TargetSoftReboot || t == TargetSoftOff }

// Outcome is the state the node has when the target is reached, and what
// target_power_state shows meanwhile.
func (t PowerTarget) Outcome() PowerState {
	if t == TargetOff || t == TargetSoftOff {
		return PowerOff
	}
	return PowerOn
}
