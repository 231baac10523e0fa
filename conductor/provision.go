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
	drive, hash, err := c.prepare(ctx, &n, event, r)
	if err != nil {
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
		who.asks(&n.Work.Intent)
		if event == baremetal.EventAbort && mustFinish(n) {
			n.Work.Intent.AbortAfter = true
			showStep(n, kindOf(n.ProvisionState))
			return nil
		}
		if !next.Working() { // done in the row: manage, abort, unhold
			n.SetState(next, now)
			settle(n, now)
			return nil
		}
		n.Work.Intent.Steps, n.Work.Intent.Manual = nil, false
		n.Work.Intent.DisableRamdisk, n.Work.Intent.AbortAfter = r.DisableRamdisk, false
		n.Work.Intent.Verb = r.Verb
		forgetAgent(n)
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
			if project := n.InstanceInfo.Str("project_id"); n.Lessee == "" && project != "" {
				n.Lessee, n.DriverInternalInfo = project, n.DriverInternalInfo.With(automaticLesseeKey, true)
			}
			if drive != nil {
				n.InstanceInfo = n.InstanceInfo.With(configDriveKey, drive)
			}
		case baremetal.EventInspect:
			n.InspectionStartedAt, n.InspectionFinishedAt = now, time.Time{}
		case baremetal.EventRescue:
			n.InstanceInfo = n.InstanceInfo.With(drivers.RescueHashKey, hash)
		}
		n.SetState(next, now)
		return nil
	})
	if err != nil {
		return err
	}
	if event == baremetal.EventAbort && from == baremetal.RescueWait {
		return c.tidyRescue(ctx, n.UUID)
	}
	if n.Work.Intent.Idle() {
		c.history(ctx, &n, baremetal.SeverityInfo, "transition",
			"Node moved to provision state \""+string(n.ProvisionState)+"\" from state \""+string(from)+"\"")
	}
	return nil
}

// prepare checks what a verb brings with it; it returns the config drive to keep
// and the hash of the rescue password.
func (c *Conductor) prepare(ctx context.Context, n *baremetal.Node, event baremetal.Event, r ProvisionRequest) (drive any, hash string, err error) {
	switch event {
	case baremetal.EventDeploy, baremetal.EventRebuild:
		if r.ConfigDrive != "" {
			if drive, err = readConfigDrive(r.ConfigDrive, r.Minor, n); err != nil {
				return nil, "", err
			}
			n.InstanceInfo = n.InstanceInfo.With(configDriveKey, drive) // for the drivers to check
		}
		if err := c.takesConfigDrive(n, drive != nil); err != nil {
			return nil, "", err
		}
	case baremetal.EventRescue:
		if hash, err = hashPassword(r.RescuePassword); err != nil {
			return nil, "", err
		}
	}
	if err := c.validateFor(ctx, *n, event); err != nil {
		return nil, "", err
	}
	deploys := event == baremetal.EventDeploy || event == baremetal.EventRebuild
	if len(r.DeploySteps) > 0 || deploys && n.InstanceInfo.Has("traits") { // traits bring templates
		if _, err := c.deployPlan(ctx, c.readTask(ctx, *n), r.DeploySteps); err != nil {
			return nil, "", err
		}
	}
	return drive, hash, nil
}

// mustFinish tells whether the step that the node waits in must not be interrupted.
func mustFinish(n *baremetal.Node) bool {
	if n.ProvisionState != baremetal.CleanWait && n.ProvisionState != baremetal.ServiceWait {
		return false
	}
	w := &n.Work
	return w.StepIndex < len(w.Steps) && !w.Steps[w.StepIndex].Abortable
}

func kindOf(s baremetal.ProvisionState) baremetal.StepKind {
	switch s {
	case baremetal.CleanWait, baremetal.CleanHold, baremetal.Cleaning:
		return baremetal.CleanStep
	case baremetal.ServiceWait, baremetal.ServiceHold, baremetal.Servicing:
		return baremetal.ServiceStep
	}
	return baremetal.DeployStep
}

// tidyRescue lets the driver clean up after a rescue that was given up; if that
// fails the node needs a person.
func (c *Conductor) tidyRescue(ctx context.Context, uuid string) error {
	return c.borrow(ctx, uuid, func(ctx context.Context, w *work) error {
		impl, err := drivers.As[drivers.RescueAborter](c.Registry, &w.node, "rescue", "rescue")
		if err != nil {
			return nil //nolint:nilerr // it has nothing to tidy up
		}
		t, err := w.task(ctx)
		if err != nil {
			return err
		}
		if err = impl.AbortRescue(ctx, t); err == nil {
			return nil
		}
		msg := "Failed to clean up rescue after it was aborted: " + err.Error()
		w.history(ctx, baremetal.SeverityError, "rescue", msg)
		return w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
			n.LastError = msg
			n.Maintenance, n.MaintenanceReason, n.Fault = true, msg, "rescue abort failure"
			return nil
		})
	})
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
	case n.ProvisionState.Waiting(): // unhold: go on with the next step
		n.Work.StepIndex++
		n.Work.Journal = ""
		showStep(n, kindOf(n.ProvisionState))
		n.Work.WakeAt = now
	case n.ProvisionState.Failed():
		n.LastError = "Operation was aborted by request."
		endWork(n)
		n.InstanceInfo = withoutKey(n.InstanceInfo, drivers.RescueHashKey)
		n.Work.WakeAt = time.Time{}
	default:
		n.TargetProvisionState = ""
		endWork(n)
		n.Work.WakeAt = time.Time{}
	}
}

// withoutKey is Without for a key that is seldom there.
func withoutKey(o baremetal.Object, key string) baremetal.Object {
	if !o.Has(key) {
		return o
	}
	return o.Without(key)
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
		kinds = []string{"power", "network", "boot", "deploy"}
	case baremetal.EventInspect:
		kinds = []string{"power", "inspect"}
	case baremetal.EventRescue, baremetal.EventUnrescue:
		kinds = []string{"power", "rescue"}
	default:
		return nil
	}
	t := c.readTask(ctx, n)
	if event == baremetal.EventDeploy || event == baremetal.EventRebuild {
		if err := checkTraits(&n); err != nil {
			return err
		}
	}
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
