package baremetal

// ProvisionState is where a node stands in its life cycle; values are the
// strings of the API.
type ProvisionState string

// The provision states of the Ironic API.
const (
	Enroll         ProvisionState = "enroll"
	Verifying      ProvisionState = "verifying"
	Manageable     ProvisionState = "manageable"
	Inspecting     ProvisionState = "inspecting"
	InspectWait    ProvisionState = "inspect wait"
	InspectFailed  ProvisionState = "inspect failed"
	Adopting       ProvisionState = "adopting"
	AdoptFailed    ProvisionState = "adopt failed"
	Available      ProvisionState = "available"
	Deploying      ProvisionState = "deploying"
	DeployWait     ProvisionState = "wait call-back"
	DeployHold     ProvisionState = "deploy hold"
	DeployFailed   ProvisionState = "deploy failed"
	Active         ProvisionState = "active"
	Deleting       ProvisionState = "deleting"
	ErrorState     ProvisionState = "error"
	Cleaning       ProvisionState = "cleaning"
	CleanWait      ProvisionState = "clean wait"
	CleanHold      ProvisionState = "clean hold"
	CleanFailed    ProvisionState = "clean failed"
	Rescuing       ProvisionState = "rescuing"
	RescueWait     ProvisionState = "rescue wait"
	Rescue         ProvisionState = "rescue"
	RescueFailed   ProvisionState = "rescue failed"
	Unrescuing     ProvisionState = "unrescuing"
	UnrescueFailed ProvisionState = "unrescue failed"
	Servicing      ProvisionState = "servicing"
	ServiceWait    ProvisionState = "service wait"
	ServiceHold    ProvisionState = "service hold"
	ServiceFailed  ProvisionState = "service failed"
)

type stateClass int

const (
	stable stateClass = iota
	working
	waiting
	holding
	failed
)

var states = map[ProvisionState]stateClass{
	Enroll: stable, Manageable: stable, Available: stable, Active: stable, Rescue: stable, ErrorState: failed,
	Verifying: working, Inspecting: working, Adopting: working, Deploying: working, Deleting: working,
	Cleaning: working, Rescuing: working, Unrescuing: working, Servicing: working,
	InspectWait: waiting, DeployWait: waiting, CleanWait: waiting, RescueWait: waiting, ServiceWait: waiting,
	DeployHold: holding, CleanHold: holding, ServiceHold: holding,
	InspectFailed: failed, AdoptFailed: failed, DeployFailed: failed, CleanFailed: failed,
	RescueFailed: failed, UnrescueFailed: failed, ServiceFailed: failed,
}

// Valid tells whether s is a state of the table.
func (s ProvisionState) Valid() bool { _, ok := states[s]; return ok }

// Working tells whether a conductor has something to do now.
func (s ProvisionState) Working() bool { return states[s] == working }

// Waiting tells whether the node waits for the machine to report; the claim is released meanwhile.
func (s ProvisionState) Waiting() bool { return states[s] == waiting }

// Holding tells whether the node stands still until somebody says unhold.
func (s ProvisionState) Holding() bool { return states[s] == holding }

// Failed tells whether the last piece of work ended badly.
func (s ProvisionState) Failed() bool { return states[s] == failed }

// ProvisionStates lists every state.
func ProvisionStates() []ProvisionState {
	all := make([]ProvisionState, 0, len(states))
	for s := range states {
		all = append(all, s)
	}
	return all
}

// Event moves a node from one provision state to another.
type Event string

// The events of the state machine: the first ones are asked for by people,
// the last five happen inside.
const (
	EventManage   Event = "manage"
	EventProvide  Event = "provide"
	EventClean    Event = "clean"
	EventInspect  Event = "inspect"
	EventAdopt    Event = "adopt"
	EventDeploy   Event = "deploy"
	EventRebuild  Event = "rebuild"
	EventDelete   Event = "delete"
	EventRescue   Event = "rescue"
	EventUnrescue Event = "unrescue"
	EventService  Event = "service"
	EventAbort    Event = "abort"
	EventUnhold   Event = "unhold"
	EventHold     Event = "hold"
	EventWait     Event = "wait"
	EventResume   Event = "resume"
	EventDone     Event = "done"
	EventFail     Event = "fail"
)

// transitions is the exact list of the API reference, section 4.6.
var transitions = map[Event]map[ProvisionState]ProvisionState{
	EventDeploy:  {Available: Deploying, DeployFailed: Deploying},
	EventRebuild: {Active: Deploying, DeployFailed: Deploying, ErrorState: Deploying},
	EventDelete: {Active: Deleting, DeployWait: Deleting, DeployFailed: Deleting, ErrorState: Deleting, Rescue: Deleting,
		RescueWait: Deleting, RescueFailed: Deleting, UnrescueFailed: Deleting, ServiceWait: Deleting, ServiceFailed: Deleting},
	EventManage: {Enroll: Verifying, Available: Manageable, CleanFailed: Manageable, InspectFailed: Manageable,
		AdoptFailed: Manageable, Cleaning: Manageable},
	EventProvide:  {Manageable: Cleaning},
	EventClean:    {Manageable: Cleaning, Deleting: Cleaning},
	EventInspect:  {Manageable: Inspecting, InspectFailed: Inspecting},
	EventAdopt:    {Manageable: Adopting, AdoptFailed: Adopting},
	EventRescue:   {Active: Rescuing, Rescue: Rescuing, RescueFailed: Rescuing, UnrescueFailed: Rescuing, ServiceFailed: Rescuing},
	EventUnrescue: {Rescue: Unrescuing, RescueFailed: Unrescuing, UnrescueFailed: Unrescuing},
	EventService:  {Active: Servicing, ServiceHold: Servicing, ServiceFailed: Servicing},
	EventAbort: {DeployHold: DeployFailed, DeployWait: DeployFailed, CleanWait: CleanFailed, CleanHold: CleanFailed,
		InspectWait: InspectFailed, RescueWait: RescueFailed, ServiceWait: ServiceFailed, ServiceHold: ServiceFailed, ServiceFailed: Active},
	EventHold: {Deploying: DeployHold, DeployWait: DeployHold, Cleaning: CleanHold, CleanWait: CleanHold,
		Servicing: ServiceHold, ServiceWait: ServiceHold, ServiceFailed: ServiceHold},
	EventUnhold: {DeployHold: DeployWait, CleanHold: CleanWait, ServiceHold: ServiceWait},
	EventWait: {Deploying: DeployWait, Cleaning: CleanWait, Inspecting: InspectWait, Rescuing: RescueWait,
		Servicing: ServiceWait, ServiceFailed: ServiceWait},
	EventResume: {DeployWait: Deploying, CleanWait: Cleaning, InspectWait: Inspecting, RescueWait: Rescuing, ServiceWait: Servicing},
	EventDone: {Deploying: Active, Unrescuing: Active, Adopting: Active, Servicing: Active, Cleaning: Available,
		Inspecting: Manageable, InspectWait: Manageable, Verifying: Manageable, Rescuing: Rescue},
	EventFail: {Deploying: DeployFailed, DeployWait: DeployFailed, Deleting: ErrorState, Cleaning: CleanFailed, CleanWait: CleanFailed,
		Inspecting: InspectFailed, InspectWait: InspectFailed, Rescuing: RescueFailed, RescueWait: RescueFailed,
		Unrescuing: UnrescueFailed, Verifying: Enroll, Adopting: AdoptFailed, Servicing: ServiceFailed,
		ServiceWait: ServiceFailed, ServiceHold: ServiceFailed},
}

// Next returns the state that event leads to from s; ok is false if the table has no such transition.
func (s ProvisionState) Next(e Event) (next ProvisionState, ok bool) {
	next, ok = transitions[e][s]
	return next, ok
}

// TargetOf is the target_provision_state shown while a node is in s. For
// cleaning it depends on how the cleaning was asked for, hence manual.
func TargetOf(s ProvisionState, manual bool) ProvisionState {
	switch s {
	case Verifying, Inspecting, InspectWait, InspectFailed:
		return Manageable
	case Adopting, AdoptFailed, Deploying, DeployWait, DeployHold, DeployFailed, Unrescuing, UnrescueFailed,
		Servicing, ServiceWait, ServiceHold, ServiceFailed:
		return Active
	case Cleaning, CleanWait, CleanHold, CleanFailed:
		if manual {
			return Manageable
		}
		return Available
	case Deleting:
		return Available
	case Rescuing, RescueWait, RescueFailed:
		return Rescue
	}
	return ""
}

// Verb is the target of PUT states/provision.
type Verb string

// The verbs of the API; deploy and undeploy are later names (1.73) of active and deleted.
const (
	VerbManage   Verb = "manage"
	VerbProvide  Verb = "provide"
	VerbInspect  Verb = "inspect"
	VerbClean    Verb = "clean"
	VerbAdopt    Verb = "adopt"
	VerbActive   Verb = "active"
	VerbDeploy   Verb = "deploy"
	VerbRebuild  Verb = "rebuild"
	VerbDeleted  Verb = "deleted"
	VerbUndeploy Verb = "undeploy"
	VerbRescue   Verb = "rescue"
	VerbUnrescue Verb = "unrescue"
	VerbService  Verb = "service"
	VerbAbort    Verb = "abort"
	VerbUnhold   Verb = "unhold"
)

// Event returns the event a verb stands for; ok is false for an unknown verb.
func (v Verb) Event() (e Event, ok bool) {
	switch v {
	case VerbActive, VerbDeploy:
		return EventDeploy, true
	case VerbDeleted, VerbUndeploy:
		return EventDelete, true
	case VerbManage, VerbProvide, VerbInspect, VerbClean, VerbAdopt, VerbRebuild, VerbRescue, VerbUnrescue,
		VerbService, VerbAbort, VerbUnhold:
		return Event(v), true
	}
	return "", false
}

// Since is the API minor version that brought the verb; from is the state it is used in
// (abort works from more states in later versions).
func (v Verb) Since(from ProvisionState) int {
	switch v {
	case VerbManage, VerbProvide:
		return 4
	case VerbInspect:
		return 6
	case VerbClean:
		return 15
	case VerbAdopt:
		return 17
	case VerbRescue, VerbUnrescue:
		return 38
	case VerbDeploy, VerbUndeploy:
		return 73
	case VerbUnhold:
		return 85
	case VerbService:
		return 87
	case VerbAbort:
		switch from {
		case InspectWait:
			return 41
		case DeployWait:
			return 110
		case DeployHold:
			return 85
		case ServiceWait, ServiceHold, ServiceFailed:
			return 87
		}
		return 13
	}
	return 1
}
