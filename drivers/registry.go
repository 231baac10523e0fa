package drivers

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"caddyshack/baremetal"
)

// HardwareType is a kind of machine: the implementations it may use for each
// interface, and which one is the default.
type HardwareType struct {
	Name string
	// Interfaces maps kind ("power") and name ("backplane") to the implementation.
	Interfaces map[string]map[string]any
	// Defaults maps kind to name.
	Defaults map[string]string
	// Properties describes the keys of driver_info.
	Properties map[string]string
}

// InterfaceNames lists the names enabled for a kind, the default first.
func (h *HardwareType) InterfaceNames(kind string) []string {
	names := slices.Sorted(maps.Keys(h.Interfaces[kind]))
	def := h.Defaults[kind]
	sort.SliceStable(names, func(i, j int) bool { return names[i] == def && names[j] != def })
	return names
}

// Registry knows the enabled hardware types.
type Registry struct{ types map[string]*HardwareType }

// NewRegistry checks that every type has an implementation and a default for
// each interface kind.
func NewRegistry(types ...*HardwareType) (*Registry, error) {
	r := &Registry{types: map[string]*HardwareType{}}
	for _, h := range types {
		if r.types[h.Name] != nil {
			return nil, fmt.Errorf("registering hardware type %q: it is there already", h.Name)
		}
		for _, kind := range baremetal.InterfaceKinds() {
			def := h.Defaults[kind]
			if h.Interfaces[kind][def] == nil {
				return nil, fmt.Errorf("registering hardware type %q: its default %s interface %q has no implementation", h.Name, kind, def)
			}
		}
		r.types[h.Name] = h
	}
	return r, nil
}

// Names lists the hardware types, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.types)) }

// Type returns a hardware type; the error is of kind Invalid.
func (r *Registry) Type(name string) (*HardwareType, error) {
	h := r.types[name]
	if h == nil {
		return nil, baremetal.Errorf(baremetal.Invalid,
			"No valid host was found. Reason: No conductor service registered which supports driver %s.", name)
	}
	return h, nil
}

// Interface returns the implementation of a kind that a node uses.
func (r *Registry) Interface(n *baremetal.Node, kind string) (any, error) {
	h, err := r.Type(n.Driver)
	if err != nil {
		return nil, err
	}
	name := n.Interfaces[kind]
	if key := kind + "_interface"; strings.Contains(string(n.InstanceInfo), key) { // an override for this instance
		if own := n.InstanceInfo.Str(key); own != "" {
			name = own
		}
	}
	impl := h.Interfaces[kind][name]
	if impl == nil {
		return nil, baremetal.Errorf(baremetal.Invalid,
			"Could not find the following interface in the 'ironic.hardware.interfaces.%s' entrypoint: %s. Valid interfaces are %v.",
			kind, name, h.InterfaceNames(kind))
	}
	return impl, nil
}

// As returns the implementation of a kind as T; an implementation that lacks T
// is a 400 that says what the driver cannot do.
func As[T any](r *Registry, n *baremetal.Node, kind, what string) (T, error) {
	var none T
	impl, err := r.Interface(n, kind)
	if err != nil {
		return none, err
	}
	t, ok := impl.(T)
	if !ok {
		return none, baremetal.Errorf(baremetal.Invalid,
			"Driver %s does not support %s (disabled or not implemented).", n.Driver, what)
	}
	return t, nil
}

// SetDefaults fills the node's empty interface fields with the defaults of its
// hardware type and refuses names the type does not have.
func (r *Registry) SetDefaults(n *baremetal.Node) error {
	h, err := r.Type(n.Driver)
	if err != nil {
		return err
	}
	ifaces := maps.Clone(n.Interfaces)
	if ifaces == nil {
		ifaces = map[string]string{}
	}
	for _, kind := range baremetal.InterfaceKinds() {
		if ifaces[kind] == "" {
			ifaces[kind] = h.Defaults[kind]
		}
		if h.Interfaces[kind][ifaces[kind]] == nil {
			return baremetal.Errorf(baremetal.Invalid,
				"Could not find the following interface in the 'ironic.hardware.interfaces.%s' entrypoint: %s. Valid interfaces are %v.",
				kind, ifaces[kind], h.InterfaceNames(kind))
		}
	}
	n.Interfaces = ifaces
	return nil
}
