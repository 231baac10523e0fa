package conductor

import (
	"context"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// SetProvision accepts a provision verb. The order of the checks is that of
// the API reference, section 4.4.
func (c *Conductor) SetProvision(ctx context.Context, who Caller, ident string, r ProvisionRequest) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	event, ok := r.Verb.Event()
	if !ok {
		return baremetal.Errorf(baremetal.Invalid, "The requested action %q can not be performed: it is not a provision target.", r.Verb)
	}
	if since := r.Verb.Since(n.ProvisionState); r.Minor < since {
		return baremetal.Errorf(baremetal.NotAcceptable,
			"Request not acceptable. The request includes the provision target %q, which needs API version 1.%d or later.", r.Verb, since)
	}
	if err := c.allowed(ctx, &n, event, r.Verb); err != nil {
		return err
	}
	if r.ConfigDrive != "" {
		return baremetal.Errorf(baremetal.Invalid, "config drives are not supported yet")
	}
	if err := c.validateFor(ctx, n, event); err != nil {
		return err
	}
	var from baremetal.ProvisionState
	n, err = c.accept(ctx, ident, func(n *baremetal.Node, now time.Time) error {
		if err := checkVerb(n, event, r.Verb); err != nil {
			return err
		}
		from = n.ProvisionState
		next, _ := n.ProvisionState.Next(event)
		n.LastError = ""
		n.Work.Intent.RequestID, n.Work.Intent.User = who.RequestID, who.User
		n.Work.Intent.Steps, n.Work.Intent.Manual = nil, false
		if !next.Working() { // done in the row: manage, abort, unhold
			n.SetState(next, now)
			settle(n, now)
			return nil
		}
		n.Work.Intent.Verb = r.Verb
		n.Work.Steps, n.Work.StepIndex, n.Work.Journal = nil, 0, ""
		clearWait(n)
		switch event {
		case baremetal.EventClean:
			n.Work.Intent.Manual, n.Work.Intent.Steps = true, r.CleanSteps
		case baremetal.EventService:
			n.Work.Intent.Steps = r.ServiceSteps
		case baremetal.EventDeploy, baremetal.EventRebuild:
			n.Work.Intent.Steps = r.DeploySteps
			n.InstanceName = first(n.InstanceName, n.InstanceInfo.Str("display_name"))
		case baremetal.EventInspect:
			n.InspectionStartedAt, n.InspectionFinishedAt = now, time.Time{}
		case baremetal.EventRescue:
			n.InstanceInfo = n.InstanceInfo.With("rescue_password", r.RescuePassword)
		}
		n.SetState(next, now)
		return nil
	})
	if err != nil {
		return err
	}
	if n.Work.Intent.Idle() {
		c.history(ctx, &n, baremetal.SeverityInfo, "transition",
			"Node moved to provision state \""+string(n.ProvisionState)+"\" from state \""+string(from)+"\"")
	}
	return nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// settle tidies a row whose verb needed no work.
func settle(n *baremetal.Node, now time.Time) {
	switch {
	case n.ProvisionState.Waiting(): // unhold: go on with the step
		n.Work.WakeAt = now
	case n.ProvisionState.Failed():
		n.LastError = "Operation was aborted by request."
		endWork(n)
		n.Work.WakeAt = time.Time{}
	default:
		n.TargetProvisionState = ""
		endWork(n)
		n.Work.WakeAt = time.Time{}
	}
}

// allowed answers 400 for what can never work in this state, and 409 while
// somebody works on the node and it may work later.
func (c *Conductor) allowed(ctx context.Context, n *baremetal.Node, event baremetal.Event, verb baremetal.Verb) error {
	err := checkVerb(n, event, verb)
	if err == nil || n.Maintenance && (event == baremetal.EventDeploy || event == baremetal.EventRebuild) {
		return err
	}
	now, nowErr := c.Store.Now(ctx)
	if nowErr != nil {
		return nowErr
	}
	if baremetal.IsKind(err, baremetal.Invalid) && n.Locked(now) {
		return lockedError(n)
	}
	return err
}

// checkVerb holds the rules that need the row.
func checkVerb(n *baremetal.Node, event baremetal.Event, verb baremetal.Verb) error {
	if n.Maintenance && (event == baremetal.EventDeploy || event == baremetal.EventRebuild) {
		return baremetal.Errorf(baremetal.Invalid, "The %s operation can't be performed on node %s because it's in maintenance mode.",
			provisioningWord(event), n.UUID)
	}
	_, ok := n.ProvisionState.Next(event)
	// cleaning→manageable and deleting→cleaning are internal.
	if !ok || n.ProvisionState == baremetal.Cleaning || n.ProvisionState == baremetal.Deleting {
		return baremetal.Errorf(baremetal.Invalid,
			"The requested action \"%s\" can not be performed on node \"%s\" while it is in state \"%s\".", verb, n.UUID, n.ProvisionState)
	}
	if n.Retired && event == baremetal.EventProvide {
		return baremetal.Errorf(baremetal.Invalid,
			"The requested action \"provide\" can not be performed on node \"%s\": it is retired. Unset retired first.", n.UUID)
	}
	if n.Protected && (event == baremetal.EventDelete || event == baremetal.EventRebuild) {
		return baremetal.Errorf(baremetal.Forbidden,
			"Node %s is protected and can not be undeployed, rebuilt or deleted. Unset protected first.", n.UUID)
	}
	return nil
}

func provisioningWord(e baremetal.Event) string {
	if e == baremetal.EventRebuild {
		return "rebuild"
	}
	return "provisioning"
}

// validateFor asks the drivers whether the verb can work at all.
func (c *Conductor) validateFor(ctx context.Context, n baremetal.Node, event baremetal.Event) error {
	var kinds []string
	switch event {
	case baremetal.EventDeploy, baremetal.EventRebuild:
		kinds = []string{"power", "boot", "deploy"}
	case baremetal.EventInspect:
		kinds = []string{"power", "inspect"}
	case baremetal.EventRescue, baremetal.EventUnrescue:
		kinds = []string{"power", "rescue"}
	default:
		return nil
	}
	t := c.readTask(ctx, n)
	for _, kind := range kinds {
		impl, err := c.Registry.Interface(&n, kind)
		if err != nil {
			return err
		}
		v, ok := impl.(drivers.Validator)
		if !ok {
			continue
		}
		if err := v.Validate(ctx, t); err != nil {
			if _, absent := impl.(drivers.Unsupported); absent {
				return baremetal.Errorf(baremetal.Invalid, "%s", err)
			}
			return baremetal.Errorf(baremetal.Invalid, "Failed to validate %s info for node %s. Error: %s", kind, n.UUID, err)
		}
	}
	return nil
}

// readTask is the task of a call that takes no claim.
func (c *Conductor) readTask(ctx context.Context, n baremetal.Node) *drivers.Task {
	ports, err := c.Store.Ports(ctx, baremetal.PortQuery{NodeUUID: &n.UUID})
	if err != nil {
		c.Log.Warn("reading the ports of a node failed", "node", n.UUID, "err", err)
	}
	return &drivers.Task{Node: n, Ports: ports, Epoch: n.Work.ClaimEpoch, Log: c.Log.With("node", n.UUID)}
}
