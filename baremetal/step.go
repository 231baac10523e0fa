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
}

// StepKind is the list a step belongs to.
type StepKind string

// The kinds of steps.
const (
	DeployStep  StepKind = "deploy"
	CleanStep   StepKind = "clean"
	ServiceStep StepKind = "service"
)
