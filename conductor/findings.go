package conductor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor/inspection"
	"caddyshack/drivers"
)

// process turns the findings of an inspection into what is kept of the node: it
// makes ports, sets what findings tell of the node, and applies the inspection
// rules to them.
func (w *work) process(ctx context.Context, t *drivers.Task, result drivers.Result) (drivers.Result, error) {
	body, found := result.Documents[baremetal.InventoryDocument]
	if !found && t.Journal.Get(drivers.FindingsKey) != "" {
		d, kept, err := w.c.Store.Document(ctx, w.node.UUID, baremetal.InventoryDocument)
		if err != nil {
			return result, err
		}
		body, found = d.Body, kept
	}
	documents, err := w.lookAround(ctx, t)
	if err != nil {
		return result, err
	}
	maps.Copy(documents, result.Documents)
	result.Documents = documents
	health := w.health(ctx, t)
	change := result.Change
	result.Change = func(n *baremetal.Node) {
		n.Health = health
		if change != nil {
			change(n)
		}
	}
	if !found {
		return result, nil
	}
	m := body.Map()
	inventory, _ := m["inventory"].(map[string]any)
	plugin, _ := m["plugin_data"].(map[string]any)
	if plugin == nil {
		plugin = map[string]any{}
	}
	if msg, _ := plugin["error"].(string); msg != "" {
		return result, baremetal.Errorf(baremetal.Invalid, "the agent reported an error: %s", msg)
	}
	if err := w.discoverPorts(ctx, inventory); err != nil {
		return result, err
	}
	applied, err := w.applyRules(ctx, result.Change, inventory, plugin)
	if err != nil {
		return result, err
	}
	result.Documents[baremetal.InventoryDocument] = baremetal.MustObject(map[string]any{"inventory": inventory, "plugin_data": plugin})
	before := result.Change
	result.Change = func(n *baremetal.Node) {
		before(n)
		applied(n)
	}
	return result, nil
}

// at finds a value within objects, nil if there is none.
func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// discoverPorts makes ports of the interfaces that were found: of the one that
// the machine booted from if that is known, else of all.
func (w *work) discoverPorts(ctx context.Context, inventory map[string]any) error {
	list, _ := inventory["interfaces"].([]any)
	boot, _ := at(inventory, "boot", "pxe_interface").(string)
	boot = strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(boot), "01-"), "-", ":")
	for _, item := range list {
		text, _ := at(item, "mac_address").(string)
		mac, err := baremetal.ParseMAC(text)
		if err != nil || boot != "" && mac != boot {
			continue
		}
		known, err := w.c.Store.Ports(ctx, baremetal.PortQuery{Address: &mac})
		if err != nil {
			return err
		}
		if len(known) > 0 {
			if known[0].NodeUUID != w.node.UUID {
				w.log.Warn("an interface that was found belongs to a port of another node", "address", mac, "port", known[0].UUID)
			}
			continue
		}
		p := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: w.node.UUID, Address: mac, PXEEnabled: true, ForDynamicPortgroup: true}
		if err := w.c.Store.CreatePort(ctx, &p); err != nil && !baremetal.IsKind(err, baremetal.Conflict) {
			return err
		}
		w.log.Info("port discovered", "address", mac, "port", p.UUID)
	}
	return nil
}

// ruleTexts are the attributes of a node that are text and that rules may set.
func ruleTexts(n *baremetal.Node) map[string]*string {
	return map[string]*string{
		"driver": &n.Driver, "resource_class": &n.ResourceClass, "conductor_group": &n.ConductorGroup, "owner": &n.Owner,
		"lessee": &n.Lessee, "shard": &n.Shard, "description": &n.Description, "name": &n.Name,
	}
}

// ruleObjects are those that are objects.
func ruleObjects(n *baremetal.Node) map[string]*baremetal.Object {
	return map[string]*baremetal.Object{"properties": &n.Properties, "driver_info": &n.DriverInfo, "extra": &n.Extra}
}

// nodeForRules is the node as rules see it.
func nodeForRules(n *baremetal.Node) map[string]any {
	m := map[string]any{"uuid": n.UUID, "instance_uuid": n.InstanceUUID, "power_state": string(n.PowerState),
		"provision_state": string(n.ProvisionState), "maintenance": n.Maintenance, "automated_clean": nil}
	for name, text := range ruleTexts(n) {
		m[name] = *text
	}
	for name, o := range ruleObjects(n) {
		m[name] = o.Map()
	}
	for kind, name := range n.Interfaces {
		m[kind+"_interface"] = name
	}
	if n.AutomatedClean != nil {
		m["automated_clean"] = *n.AutomatedClean
	}
	traits := []any{}
	for _, t := range n.Traits.List() {
		traits = append(traits, t)
	}
	m["traits"] = traits
	return m
}

func settable(name string) bool {
	var n baremetal.Node
	kind, iface := strings.CutSuffix(name, "_interface")
	return ruleTexts(&n)[name] != nil || ruleObjects(&n)[name] != nil || name == "automated_clean" ||
		iface && slices.Contains(baremetal.InterfaceKinds(), kind)
}

// fromRules writes what rules changed back into a node.
func fromRules(n *baremetal.Node, before, after map[string]any) error {
	texts, objects := ruleTexts(n), ruleObjects(n)
	for name, v := range after {
		if reflect.DeepEqual(v, before[name]) {
			continue
		}
		kind, iface := strings.CutSuffix(name, "_interface")
		text, isText := v.(string)
		object, isObject := v.(map[string]any)
		switch {
		case texts[name] != nil && (isText || v == nil):
			*texts[name] = text
		case iface && (isText || v == nil):
			n.Interfaces = maps.Clone(n.Interfaces)
			n.Interfaces[kind] = text
		case objects[name] != nil && (isObject || v == nil):
			o, err := baremetal.NewObject(object)
			if err != nil {
				return err
			}
			*objects[name] = o
		case name == "automated_clean":
			b, ok := v.(bool)
			if n.AutomatedClean = nil; ok {
				n.AutomatedClean = &b
			}
		case name == "traits":
			var list []string
			all, _ := v.([]any)
			for _, t := range all {
				s, _ := t.(string)
				list = append(list, s)
			}
			n.Traits = baremetal.NewStrings(list...)
		default:
			return baremetal.Errorf(baremetal.Invalid, "an inspection rule gave %s a value of the wrong type", name)
		}
	}
	return nil
}

// portSettable are the attributes of ports that rules may set.
var portSettable = []string{"extra", "local_link_connection", "physical_network", "pxe_enabled", "name", "description", "vendor", "category"}

func portForRules(p *baremetal.Port) map[string]any {
	return map[string]any{"uuid": p.UUID, "address": p.Address, "extra": p.Extra.Map(), "local_link_connection": p.LocalLinkConnection.Map(),
		"physical_network": p.PhysicalNetwork, "pxe_enabled": p.PXEEnabled, "name": p.Name, "description": p.Description,
		"vendor": p.Vendor, "category": p.Category}
}

// portFromRules writes what rules changed back into a port.
func portFromRules(p *baremetal.Port, m map[string]any) error {
	for name, to := range map[string]*string{"physical_network": &p.PhysicalNetwork, "name": &p.Name, "description": &p.Description,
		"vendor": &p.Vendor, "category": &p.Category} {
		s, ok := m[name].(string)
		if !ok && m[name] != nil {
			return baremetal.Errorf(baremetal.Invalid, "an inspection rule gave a port's %s a value of the wrong type", name)
		}
		*to = s
	}
	for name, to := range map[string]*baremetal.Object{"extra": &p.Extra, "local_link_connection": &p.LocalLinkConnection} {
		v, _ := m[name].(map[string]any)
		o, err := baremetal.NewObject(v)
		if err != nil {
			return err
		}
		*to = o
	}
	if b, ok := m["pxe_enabled"].(bool); ok {
		p.PXEEnabled = b
	}
	return nil
}

// applyRules applies the rules to the findings, and returns the change of the
// node that they and the findings make. Rules see the node as the driver has
// changed it.
func (w *work) applyRules(ctx context.Context, changed func(*baremetal.Node), inventory, plugin map[string]any) (func(*baremetal.Node), error) {
	node := w.node
	changed(&node)
	if arch, _ := at(inventory, "cpu", "architecture").(string); arch != "" {
		node.Properties = node.Properties.With("cpu_arch", arch)
	}
	rules, err := w.rules(ctx)
	if err != nil {
		return nil, err
	}
	if len(rules) > 0 {
		if err := w.runRules(ctx, rules, &node, inventory, plugin); err != nil {
			return nil, err
		}
		if err := w.c.SetInterfaces(&node); err != nil {
			return nil, err
		}
	}
	return func(n *baremetal.Node) {
		for name, to := range ruleTexts(n) {
			*to = *ruleTexts(&node)[name]
		}
		for name, to := range ruleObjects(n) {
			*to = *ruleObjects(&node)[name]
		}
		n.Interfaces, n.AutomatedClean, n.Traits = node.Interfaces, node.AutomatedClean, node.Traits
	}, nil
}

// rules reads the rules, the most important first.
func (w *work) rules(ctx context.Context) ([]inspection.Rule, error) {
	all, err := w.c.Store.InspectionRules().List(ctx, baremetal.Query{})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b baremetal.InspectionRule) int { return int(b.Priority - a.Priority) })
	var rules []inspection.Rule
	for _, r := range all {
		rule, err := inspection.Parse(r.UUID, r.Sensitive, r.Conditions, r.Actions)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func (w *work) runRules(ctx context.Context, rules []inspection.Rule, node *baremetal.Node, inventory, plugin map[string]any) error {
	ports, err := w.c.Store.Ports(ctx, baremetal.PortQuery{NodeUUID: &node.UUID})
	if err != nil {
		return err
	}
	before, d := nodeForRules(node), &inspection.Data{Node: nodeForRules(node), Inventory: inventory, PluginData: plugin}
	for i := range ports {
		d.Ports = append(d.Ports, portForRules(&ports[i]))
	}
	engine := inspection.Engine{Settable: settable, PortSettable: func(name string) bool { return slices.Contains(portSettable, name) },
		Call: httpGet, Log: slog.New(w.log.Handler())}
	if err := engine.Apply(ctx, rules, d); err != nil {
		return baremetal.Errorf(baremetal.Invalid, "%w", err)
	}
	if err := fromRules(node, before, d.Node); err != nil {
		return err
	}
	for i := range ports {
		if reflect.DeepEqual(d.Ports[i], portForRules(&ports[i])) {
			continue
		}
		_, err := w.c.Store.UpdatePort(ctx, ports[i].UUID, func(p *baremetal.Port, _ *baremetal.Node) error {
			return portFromRules(p, d.Ports[i])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// httpGet is the call of the action api-call.
func httpGet(ctx context.Context, url string, headers map[string]string, timeout time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for key, value := range headers {
		req.Header.Set(key, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}
