package fake

import (
	"context"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Step is the name of the step that every interface has, in every list. Its
// arguments: seconds it takes, fail with a text, wait for the agent's report.
const Step = "fake"

// runner runs the steps of the fake interfaces: Step on each of them, and on
// some those that Ironic's interfaces have.
type runner struct{}

// stepsOf lists what an interface offers besides Step.
func stepsOf(iface string, kind baremetal.StepKind) []baremetal.Step {
	switch iface {
	case "bios":
		return []baremetal.Step{{Name: "apply_configuration", RequiredArgs: []string{"settings"}}, {Name: "factory_reset"}}
	case "firmware":
		return []baremetal.Step{{Name: "update", RequiredArgs: []string{"settings"}}}
	case "raid":
		if kind == baremetal.DeployStep {
			return []baremetal.Step{{Name: "apply_configuration", RequiredArgs: []string{"raid_config"}}}
		}
		return []baremetal.Step{{Name: "create_configuration"}, {Name: "delete_configuration"},
			{Name: "apply_configuration", RequiredArgs: []string{"raid_config"}}}
	case "deploy":
		switch kind {
		case baremetal.DeployStep:
			return []baremetal.Step{{Name: "deploy", Priority: 100}}
		case baremetal.CleanStep:
			return []baremetal.Step{{Name: "deploy", Abortable: true}, {Name: "erase_devices", Abortable: true, NeedsRamdisk: true},
				{Name: "erase_devices_metadata", Abortable: true, NeedsRamdisk: true}}
		}
		return []baremetal.Step{{Name: "deploy", Abortable: true}}
	}
	return nil
}

func listSteps(iface string, t *drivers.Task, kind baremetal.StepKind) []baremetal.Step {
	list := append(stepsOf(iface, kind), baremetal.Step{Name: Step, Abortable: true})
	for i := range list {
		list[i].Interface = iface
		// A cleaning that shall wait or fail needs a step that runs by itself.
		if kind == baremetal.CleanStep && list[i].Name == "erase_devices" && (waits(&t.Node, "clean") || failing(&t.Node, "clean") != nil) {
			list[i].Priority = 10
		}
	}
	return list
}

// RunStep runs a step of any interface.
func (runner) RunStep(ctx context.Context, t *drivers.Task, kind baremetal.StepKind, step baremetal.Step) (drivers.Result, error) {
	if step.Name == Step {
		return runFake(ctx, t, step)
	}
	result, err := work(ctx, t, step.Interface, string(kind))
	if err == nil {
		err = failing(&t.Node, step.Interface+"."+step.Name)
	}
	if err != nil || result.Wait != nil {
		return result, err
	}
	return effect(t, step)
}

// runFake does what the arguments of Step say.
func runFake(ctx context.Context, t *drivers.Task, step baremetal.Step) (drivers.Result, error) {
	args := baremetal.MustObject(step.Args)
	if err := failing(&t.Node, step.Interface+"."+step.Name); err != nil {
		return drivers.Result{}, err
	}
	if seconds, err := time.ParseDuration(args.Str("seconds") + "s"); err == nil && seconds > 0 {
		if left, err := remaining(ctx, t, min(seconds, longestDelay)); err != nil || left > 0 {
			return drivers.WaitFor(drivers.Wait{Reason: "the step's args.seconds", Within: left + time.Minute, Poll: left}), err
		}
	}
	if args.Str("wait") == "true" && t.Journal.Get(drivers.HeartbeatKey) == "" {
		return drivers.WaitFor(drivers.Wait{Reason: "the agent's report", Callback: true, Hint: "send a heartbeat, as an agent does"}), nil
	}
	if msg := args.Str("fail"); msg != "" {
		return drivers.Result{}, baremetal.Errorf(baremetal.Invalid, "%s", msg)
	}
	return drivers.Done(), nil
}

// effect is what a step of Ironic's leaves behind.
func effect(t *drivers.Task, step baremetal.Step) (drivers.Result, error) {
	switch step.Interface + "." + step.Name {
	case "bios.apply_configuration":
		return applyBIOS(step)
	case "bios.factory_reset":
		return document(baremetal.BIOSDocument, "settings", []baremetal.BIOSSetting{})
	case "firmware.update":
		return updateFirmware(t, step)
	case "raid.create_configuration", "raid.apply_configuration":
		config := t.Node.TargetRAIDConfig
		if given, ok := step.Args["raid_config"].(map[string]any); ok {
			config = baremetal.MustObject(given)
		}
		return drivers.Result{Change: func(n *baremetal.Node) { n.RAIDConfig = config }}, nil
	case "raid.delete_configuration":
		return drivers.Result{Change: func(n *baremetal.Node) { n.RAIDConfig = "" }}, nil
	}
	return drivers.Done(), nil
}

func document(kind baremetal.DocumentKind, key string, value any) (drivers.Result, error) {
	body, err := baremetal.NewObject(map[string]any{key: value})
	return drivers.Result{Documents: map[baremetal.DocumentKind]baremetal.Object{kind: body}}, err
}

// each reads the list of objects in a step's argument.
func each(step baremetal.Step, arg string, read func(o baremetal.Object) error) error {
	list, ok := step.Args[arg].([]any)
	if !ok {
		return baremetal.Errorf(baremetal.Invalid, "%s must be a list of objects", arg)
	}
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return baremetal.Errorf(baremetal.Invalid, "%s must be a list of objects", arg)
		}
		if err := read(baremetal.MustObject(m)); err != nil {
			return err
		}
	}
	return nil
}

func applyBIOS(step baremetal.Step) (drivers.Result, error) {
	var all []baremetal.BIOSSetting
	err := each(step, "settings", func(o baremetal.Object) error {
		if o.Str("name") == "" {
			return baremetal.Errorf(baremetal.Invalid, "each of settings needs a name and a value")
		}
		all = append(all, baremetal.BIOSSetting{Name: o.Str("name"), Value: o.Str("value")})
		return nil
	})
	if err != nil {
		return drivers.Result{}, err
	}
	return document(baremetal.BIOSDocument, "settings", all)
}

func updateFirmware(_ *drivers.Task, step baremetal.Step) (drivers.Result, error) {
	known := []string{"bios", "bmc", "nic"}
	var all []baremetal.FirmwareComponent
	err := each(step, "settings", func(o baremetal.Object) error {
		c := o.Str("component")
		if !slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(c, k) }) || o.Str("url") == "" {
			return baremetal.Errorf(baremetal.Invalid, "each of settings needs a component (%s) and a url", strings.Join(known, ", "))
		}
		version := o.Str("url")[strings.LastIndex(o.Str("url"), "/")+1:]
		all = append(all, baremetal.FirmwareComponent{Component: c, InitialVersion: "1.0.0", CurrentVersion: version, LastVersionFlashed: version})
		return nil
	})
	if err != nil {
		return drivers.Result{}, err
	}
	return document(baremetal.FirmwareDocument, "components", all)
}
