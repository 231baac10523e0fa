package baremetal

// NetworkKind is what a network is for, in the words of Ironic's *_network keys.
type NetworkKind string

// The kinds of networks a node's ports can be in.
const (
	// IdleNetwork joins nothing: where ports are that nobody uses, and where a
	// failed move ends.
	IdleNetwork NetworkKind = "idle"
	// TenantNetwork stands for whatever networks the ports' virtual interfaces
	// (and extra.switchport) name.
	TenantNetwork       NetworkKind = "tenant"
	ProvisioningNetwork NetworkKind = "provisioning"
	CleaningNetwork     NetworkKind = "cleaning"
	RescuingNetwork     NetworkKind = "rescuing"
	InspectionNetwork   NetworkKind = "inspection"
	ServicingNetwork    NetworkKind = "servicing"
)

// NetworkState is where a node's ports belong. It is kept in driver_internal_info
// under "network", of nodes whose network interface moves ports.
type NetworkState struct {
	Kind NetworkKind
	// Moving is true from before the first switch is asked until the last one
	// has shown the wanted state: after a crash the ports may be in the network
	// before or in this one.
	Moving bool
}

const (
	networkKey       = "network"
	networkKindKey   = "kind"
	networkMovingKey = "moving"
)

// Network reads where the node's ports belong; idle is what nobody has said anything of.
func (n *Node) Network() NetworkState {
	s := NetworkState{Kind: IdleNetwork}
	m, ok := n.DriverInternalInfo.Get(networkKey).(map[string]any)
	if !ok {
		return s
	}
	if kind, ok := m[networkKindKey].(string); ok && kind != "" {
		s.Kind = NetworkKind(kind)
	}
	s.Moving, _ = m[networkMovingKey].(bool)
	return s
}

// SetNetwork writes where the node's ports belong.
func (n *Node) SetNetwork(s NetworkState) {
	m := map[string]any{networkKindKey: string(s.Kind)}
	if s.Moving {
		m[networkMovingKey] = true
	}
	n.DriverInternalInfo = n.DriverInternalInfo.With(networkKey, m)
}
