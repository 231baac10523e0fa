package ironicapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// provisionField is a field of PUT states/provision besides target.
type provisionField struct {
	name  string
	since int
	verbs []baremetal.Verb
}

var provisionFields = []provisionField{
	{"configdrive", 1, []baremetal.Verb{baremetal.VerbActive, baremetal.VerbDeploy, baremetal.VerbRebuild}},
	{"clean_steps", 15, []baremetal.Verb{baremetal.VerbClean}},
	{"deploy_steps", 69, []baremetal.Verb{baremetal.VerbActive, baremetal.VerbDeploy, baremetal.VerbRebuild}},
	{"service_steps", 87, []baremetal.Verb{baremetal.VerbService}},
	{"runbook", 92, []baremetal.Verb{baremetal.VerbClean, baremetal.VerbService}},
	{"rescue_password", 38, []baremetal.Verb{baremetal.VerbRescue}},
	{"disable_ramdisk", 70, []baremetal.Verb{baremetal.VerbClean, baremetal.VerbService}},
}

// lateVerbs are those whose version is looked at after the body.
var lateVerbs = []baremetal.Verb{baremetal.VerbAbort, baremetal.VerbUnhold, baremetal.VerbService}

// setProvision accepts a provision verb. Whether the verb fits the node's state
// is the conductor's to say, under the lock.
func setProvision(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("target", "configdrive", "clean_steps", "deploy_steps", "service_steps", "runbook", "rescue_password", "disable_ramdisk")
	if err != nil {
		return err
	}
	target, err := textIn(body, "target", true)
	if err != nil {
		return err
	}
	verb := baremetal.Verb(target)
	if _, ok := verb.Event(); !ok {
		return invalid("The requested action \"%s\" can not be performed on node \"%s\" while it is in state \"%s\".", show(target), n.UUID, n.ProvisionState)
	}
	if since := verb.Since(n.ProvisionState); c.minor < since && !slices.Contains(lateVerbs, verb) {
		return needsVerb(verb, since)
	}
	r := conductor.ProvisionRequest{Verb: verb, Minor: c.minor}
	if err := c.provisionBody(body, &r); err != nil {
		return err
	}
	if since := verb.Since(n.ProvisionState); c.minor < since {
		return needsVerb(verb, since)
	}
	if err := c.api.Conductor.SetProvision(c.r.Context(), c.caller(), n.UUID, r); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, c.statesPath())
}

func needsVerb(verb baremetal.Verb, since int) error {
	return baremetal.Errorf(baremetal.NotAcceptable,
		"Request not acceptable. The provision target \"%s\" needs API version %s or later.", verb, minorText(since))
}

// provisionBody checks the fields of the body against the verb.
func (c *call) provisionBody(body map[string]any, r *conductor.ProvisionRequest) error {
	for _, f := range provisionFields {
		v, ok := body[f.name]
		if !ok || v == nil {
			continue
		}
		if !slices.Contains(f.verbs, r.Verb) {
			var verbs []string
			for _, v := range f.verbs {
				verbs = append(verbs, "\""+string(v)+"\"")
			}
			return invalid("\"%s\" is only valid when setting target provision state to %s", f.name, strings.Join(verbs, " or "))
		}
		if since := f.minorFor(r.Verb); c.minor < since {
			return needsMinor(since)
		}
	}
	var err error
	if body["runbook"] != nil {
		if body["clean_steps"] != nil || body["service_steps"] != nil {
			return invalid("\"runbook\" can not be given together with steps")
		}
		if r.DisableRamdisk, _, err = boolIn(body, "disable_ramdisk"); err != nil {
			return err
		}
		return c.useRunbook(body["runbook"], r)
	}
	if r.CleanSteps, err = cleanSteps(body, "clean_steps", r.Verb == baremetal.VerbClean); err != nil {
		return err
	}
	if r.ServiceSteps, err = cleanSteps(body, "service_steps", r.Verb == baremetal.VerbService); err != nil {
		return err
	}
	if r.DeploySteps, err = deploySteps(body); err != nil {
		return err
	}
	if r.DisableRamdisk, _, err = boolIn(body, "disable_ramdisk"); err != nil {
		return err
	}
	if r.Verb == baremetal.VerbRescue {
		if r.RescuePassword, err = textIn(body, "rescue_password", false); err != nil {
			return err
		}
		if strings.TrimSpace(r.RescuePassword) == "" {
			return invalid("A non-empty \"rescue_password\" is required when setting target provision state to \"rescue\"")
		}
	}
	if v := body["configdrive"]; v != nil && v != "" {
		text, err := json.Marshal(v)
		if err != nil {
			return invalid("configdrive cannot be read: %s", err)
		}
		r.ConfigDrive = string(text)
	}
	return nil
}

// minorFor is the version from which the field goes with the verb.
func (f provisionField) minorFor(verb baremetal.Verb) int {
	switch {
	case f.name == "configdrive" && verb == baremetal.VerbRebuild:
		return 35
	case f.name == "disable_ramdisk" && verb == baremetal.VerbService:
		return 108
	}
	return f.since
}

var stepInterfaces = []string{"bios", "deploy", "firmware", "management", "power", "raid", "vendor"}

// cleanSteps reads the steps of a cleaning or a service.
func cleanSteps(body map[string]any, name string, needed bool) ([]baremetal.Step, error) {
	list, err := stepList(body, name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && needed {
		return nil, invalid("\"%s\" is required when setting target provision state to \"%s\"", name, strings.TrimSuffix(name, "_steps"))
	}
	known := []string{"interface", "step", "args", "order", "execute_on_child_nodes", "limit_child_node_execution"}
	interfaces := stepInterfaces
	if name == "service_steps" {
		interfaces = append(slices.Clone(stepInterfaces), "network")
	}
	var steps []baremetal.Step
	for _, m := range list {
		s, err := readStep(name, m, known, interfaces)
		if err != nil {
			return nil, err
		}
		if v, ok := m["order"]; ok {
			n, whole := wholeNumber(v)
			if !whole || n < 0 || n > 1<<31-1 {
				return nil, invalid("%s: order must be a whole number, 0 or more", name)
			}
			s.Order = int(n)
		}
		if s.OnChildren, _, err = boolIn(m, "execute_on_child_nodes"); err != nil {
			return nil, err
		}
		if s.Children, err = childrenIn(name, m); err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b baremetal.Step) int { return a.Order - b.Order })
	return steps, nil
}

// childrenIn reads limit_child_node_execution.
func childrenIn(name string, m map[string]any) ([]string, error) {
	v, ok := m["limit_child_node_execution"]
	if !ok || v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("%s: limit_child_node_execution %s", name, wrongType(v, "array"))
	}
	var uuids []string
	for _, item := range list {
		uuid, _ := item.(string)
		if !baremetal.IsUUID(uuid) {
			return nil, invalid("%s: Expected UUID for limit_child_node_execution: %s.", name, show(item))
		}
		uuids = append(uuids, uuid)
	}
	return uuids, nil
}

// deploySteps reads the steps of a deployment, each with its priority; 0 disables a default step.
func deploySteps(body map[string]any) ([]baremetal.Step, error) {
	const name = "deploy_steps"
	list, err := stepList(body, name)
	if err != nil {
		return nil, err
	}
	known := []string{"interface", "step", "args", "priority"}
	var steps []baremetal.Step
	for _, m := range list {
		s, err := readStep(name, m, known, stepInterfaces)
		if err != nil {
			return nil, err
		}
		for _, key := range known {
			if _, ok := m[key]; !ok {
				return nil, invalid("%s: '%s' is a required property", name, key)
			}
		}
		n, whole := wholeNumber(m["priority"])
		if !whole || n < 0 || n > 1<<31-1 {
			return nil, invalid("%s: priority must be a whole number, 0 or more", name)
		}
		s.Priority = int(n)
		for _, other := range steps {
			if other.Interface == s.Interface && other.Name == s.Name {
				return nil, invalid("%s: step '%s' of interface '%s' is there twice", name, s.Name, s.Interface)
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// maxSteps is the most steps a request may hold.
const maxSteps = 256

func stepList(body map[string]any, name string) ([]map[string]any, error) {
	v := body[name]
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("%s: %s", name, wrongType(v, "array"))
	}
	if len(list) > maxSteps {
		return nil, invalid("%s: more than %d steps", name, maxSteps)
	}
	var out []map[string]any
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, invalid("%s: %s", name, wrongType(item, "object"))
		}
		out = append(out, m)
	}
	return out, nil
}

func readStep(name string, m map[string]any, known, interfaces []string) (s baremetal.Step, err error) {
	for k := range m {
		if !slices.Contains(known, k) {
			return s, invalid("%s: Additional properties are not allowed ('%s' was unexpected)", name, show(k))
		}
	}
	s.Interface, _ = m["interface"].(string)
	if !slices.Contains(interfaces, s.Interface) {
		return s, invalid("%s: '%s' is not one of %v for interface", name, show(m["interface"]), interfaces)
	}
	if s.Name, _ = m["step"].(string); s.Name == "" || strings.ContainsRune(s.Name, 0) {
		return s, invalid("%s: 'step' is a required property and must be a non-empty string", name)
	}
	if v, ok := m["args"]; ok && v != nil {
		if s.Args, ok = v.(map[string]any); !ok {
			return s, invalid("%s: args must be an object", name)
		}
	}
	return s, nil
}
