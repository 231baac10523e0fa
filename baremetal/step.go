package baremetal

// Step is one named piece of work of a deploy, cleaning or service. Interface
// is the Ironic interface that runs it.
type Step struct {
	Interface string         `json:"interface"`
	Name      string         `json:"step"`
	Args      map[string]any `json:"args,omitempty"`
	Priority  int            `json:"priority,omitempty"`
	Abortable bool           `json:"abortable,omitempty"`
	// Order is the place of a step in a runbook; steps run from low to high.
	Order int `json:"order,omitempty"`
	// Local says that the result lives at the node's place (a root tree, an
	// export): a node moved to another place starts again at its first local step.
	Local bool `json:"local,omitempty"`
	// OnChildren runs the step on the nodes inside of this one, instead of on
	// the node itself; Children, if not empty, says on which of them.
	OnChildren bool     `json:"execute_on_child_nodes,omitempty"`
	Children   []string `json:"limit_child_node_execution,omitempty"`

	// RequiredArgs are the arguments without which the step cannot run, and
	// NeedsRamdisk says that it runs in a helper system on the machine: both are
	// what a driver says of its step, and are not kept.
	RequiredArgs []string `json:"-"`
	NeedsRamdisk bool     `json:"-"`
}

// The steps that the conductor itself carries out in every list, whatever the
// interface they are asked of.
const (
	StepHold     = "hold"      // stand still until unhold
	StepWait     = "wait"      // pause for args.seconds, or until the agent reports
	StepPowerOn  = "power_on"  //
	StepPowerOff = "power_off" //
	StepReboot   = "reboot"    //
)

// CoreStep tells whether the conductor carries out the steps of that name.
func CoreStep(name string) bool {
	switch name {
	case StepHold, StepWait, StepPowerOn, StepPowerOff, StepReboot:
		return true
	}
	return false
}

// StepKind is the list a step belongs to.
type StepKind string

// The kinds of steps.
const (
	DeployStep  StepKind = "deploy"
	CleanStep   StepKind = "clean"
	ServiceStep StepKind = "service"
)
