package pxe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe/dhcpd"
)

// AddressMode says who gives the machines their addresses.
type AddressMode string

// The modes.
const (
	// AddressesElsewhere: a server that somebody else has set up.
	AddressesElsewhere AddressMode = "off"
	// AddressesServer: this boot service's own DHCP server.
	AddressesServer AddressMode = "server"
	// AddressesProxy: another server, while this one says where boot files are.
	AddressesProxy AddressMode = "proxy"
	// AddressesDnsmasq: a dnsmasq that is given the reservations.
	AddressesDnsmasq AddressMode = "dnsmasq"
)

// Addresses is what a boot service knows of its machines' addresses, and what
// went wrong with them. Its methods may be called from many goroutines.
type Addresses struct {
	Mode AddressMode
	// Table has the machines and their reservations. Required.
	Table *dhcpd.Table
	// Changed is told the reservations whenever they may have changed; nil =
	// nobody is.
	Changed func(ctx context.Context, list []dhcpd.Reservation) error

	mu      sync.Mutex
	trouble map[string]trouble // by node
	notices []Notice
	seq     uint64
	told    map[toldKey]*told
	more    func()
}

type toldKey struct{ nodeID, matter string }

// told is what was said last of a matter, and how often something was since
// when.
type told struct {
	text  string
	at    time.Time
	since time.Time
	count int
}

// trouble is what may keep a node from booting, seen in the expected boot.
type trouble struct {
	text  string
	fatal bool // it will not boot by itself
}

// Machine is a port of a node as the boot service must know it. It is plain data.
type Machine struct {
	NodeID string `json:"node_id"`
	Name   string `json:"name,omitempty"` // of the host
	MAC    string `json:"mac"`
	Serial string `json:"serial,omitempty"`
	// Address is extra.ip_address of the port; the zero value means that the
	// boot service finds one.
	Address netip.Addr `json:"address"`
	// Server is as in PublishRequest: it names the network that the machine is in.
	Server netip.Addr `json:"server,omitzero"`
}

// AddressAnswer says which address a machine has. It is plain data.
type AddressAnswer struct {
	// Address is its own; not valid if nobody knows it yet.
	Address netip.Addr `json:"address"`
	// Learn is true if it gets an address from another server, which is learnt
	// when it asks for its first file.
	Learn bool `json:"learn,omitempty"`
}

// MachineProblem is a machine that cannot have what it should. It is plain data.
type MachineProblem struct {
	NodeID string `json:"node_id"`
	MAC    string `json:"mac"`
	Text   string `json:"text"`
}

// ReservedAddress is the address that is kept for a machine. It is plain data.
type ReservedAddress struct {
	MAC     string     `json:"mac"`
	Address netip.Addr `json:"address"`
}

// SyncAnswer is what SyncMachines has to say. It is plain data.
type SyncAnswer struct {
	// Problems are machines that cannot have what they should.
	Problems []MachineProblem `json:"problems,omitempty"`
	// Reserved are the addresses of the range that machines have.
	Reserved []ReservedAddress `json:"reserved,omitempty"`
}

// Notice is something that a node's people should know. It is plain data.
type Notice struct {
	// Seq grows by one with each notice since the boot service began; its first
	// is 1.
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	NodeID string    `json:"node_id"`
	// Error tells whether it keeps the node from booting.
	Error bool   `json:"error,omitempty"`
	Text  string `json:"text"`
	// Fault is set if the node is to be taken out of service: one of those of
	// baremetal.
	Fault string `json:"fault,omitempty"`
}

const (
	// noticesKept bounds how many notices wait to be fetched.
	noticesKept = 1000
	// newsBurst is how often something new is told of one matter of a node within
	// newsWindow: who makes up names must not fill its history, and an SD card.
	newsBurst  = 5
	newsWindow = 10 * time.Minute
	// faultAgain is when a fault that goes on is told again, as somebody may have
	// ended the maintenance meanwhile.
	faultAgain = time.Minute
)

// ReserveAddress makes sure that the machine has an address, or says that its
// address is to be learnt. It may be repeated.
func (s *Service) ReserveAddress(ctx context.Context, m Machine) (AddressAnswer, error) {
	addresses := s.Addresses
	if m.Server.IsValid() {
		if addresses = s.Own[m.Server]; addresses == nil {
			return AddressAnswer{}, baremetal.Errorf(baremetal.Invalid, "The boot service has no network in which its address is %s: it needs the same [[networks]] as the conductor.", m.Server)
		}
	}
	if addresses == nil { // whoever asks knows the address alone
		if !m.Address.IsValid() {
			return AddressAnswer{}, noAddress(m)
		}
		return AddressAnswer{Address: m.Address}, nil
	}
	return addresses.reserve(ctx, m)
}

func noAddress(m Machine) error {
	return baremetal.Errorf(baremetal.Invalid, "The port %s of node %s has no address: set extra.ip_address to the address that the machine gets, or configure [dhcp].", m.MAC, m.NodeID)
}

func (a *Addresses) reserve(ctx context.Context, m Machine) (AddressAnswer, error) {
	before, _ := a.Table.ByMAC(m.MAC)
	r, err := a.Table.Register(m.registered())
	if err != nil {
		return AddressAnswer{}, baremetal.Errorf(baremetal.Invalid, "%w", err)
	}
	if err := a.changed(ctx); err != nil {
		return AddressAnswer{}, err
	}
	if before != r {
		a.news()
	}
	switch {
	case a.Mode == AddressesProxy: // what is reserved need not be what the other server gives
		return AddressAnswer{Address: r.Address, Learn: true}, nil
	case a.Mode == AddressesDnsmasq && !r.Address.IsValid():
		return AddressAnswer{Learn: true}, nil
	case !r.Address.IsValid():
		return AddressAnswer{}, noAddress(m)
	}
	return AddressAnswer{Address: r.Address}, nil
}

func (m Machine) registered() dhcpd.Machine {
	return dhcpd.Machine{ID: m.NodeID, Name: m.Name, MAC: m.MAC, Serial: m.Serial, Address: m.Address}
}

func (a *Addresses) changed(ctx context.Context) error {
	if a.Changed == nil {
		return nil
	}
	return a.Changed(ctx, a.Table.List())
}

// SyncMachines tells the boot service all machines that there are, so that it
// knows them when they ask, and gives free the addresses of those that are no
// more.
func (s *Service) SyncMachines(ctx context.Context, list []Machine) (SyncAnswer, error) {
	if s.Addresses == nil {
		return SyncAnswer{}, nil
	}
	byServer := map[netip.Addr][]Machine{}
	for _, m := range list {
		byServer[m.Server] = append(byServer[m.Server], m)
	}
	all, err := s.Addresses.sync(ctx, byServer[netip.Addr{}])
	for server, own := range s.Own {
		more, oerr := own.sync(ctx, byServer[server])
		all.Problems, all.Reserved = append(all.Problems, more.Problems...), append(all.Reserved, more.Reserved...)
		err = errors.Join(err, oerr)
	}
	return all, err
}

func (a *Addresses) sync(ctx context.Context, list []Machine) (SyncAnswer, error) {
	var all []dhcpd.Machine
	for _, m := range list {
		all = append(all, m.registered())
	}
	bad, err := a.Table.Sync(all)
	if err != nil {
		return SyncAnswer{}, err
	}
	var answer SyncAnswer
	for _, p := range bad {
		answer.Problems = append(answer.Problems, MachineProblem{p.Machine.ID, p.Machine.MAC, p.Text})
	}
	for _, r := range a.Table.List() {
		if !r.Fixed && r.Address.IsValid() {
			answer.Reserved = append(answer.Reserved, ReservedAddress{r.MAC, r.Address})
		}
	}
	return answer, a.changed(ctx)
}

// Sightings returns who was noticed at or after a time, known or not.
func (s *Service) Sightings(_ context.Context, since time.Time) ([]Sighting, error) {
	return s.Sighted.List(since), nil
}

// Notices returns what nodes' people should know, after the notice numbered
// after; 0 means all that is kept. If the boot service has begun anew since,
// all is returned.
func (s *Service) Notices(_ context.Context, after uint64) ([]Notice, error) {
	if s.Addresses == nil {
		return nil, nil
	}
	a := s.Addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	if after > a.seq {
		after = 0
	}
	var list []Notice
	for _, n := range a.notices {
		if n.Seq > after {
			list = append(list, n)
		}
	}
	return list, nil
}

// OnNotice has f called after each notice, and when a machine got another
// address reserved; f must return at once.
func (a *Addresses) OnNotice(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.more = f
}

// Notify tells a node's people something, once until it changes: matter names
// what it is about.
func (a *Addresses) Notify(nodeID, matter, text string, fatal bool, now time.Time) {
	a.notify(matter, Notice{Time: now, NodeID: nodeID, Error: fatal, Text: text})
}

// Accuse is Notify of what takes a node out of service.
func (a *Addresses) Accuse(nodeID, matter, text, fault string, now time.Time) {
	a.notify(matter, Notice{Time: now, NodeID: nodeID, Error: true, Text: text, Fault: fault})
}

func (a *Addresses) notify(matter string, n Notice) {
	a.mu.Lock()
	if a.trouble == nil {
		a.trouble, a.told = make(map[string]trouble), make(map[toldKey]*told)
	}
	if old := a.trouble[n.NodeID]; !old.fatal || n.Error {
		a.trouble[n.NodeID] = trouble{n.Text, n.Error}
	}
	if !a.isNews(matter, &n) {
		a.mu.Unlock()
		return
	}
	a.seq++
	n.Seq = a.seq
	a.notices = append(a.notices, n)
	if extra := len(a.notices) - noticesKept; extra > 0 {
		a.notices = a.notices[extra:]
	}
	a.mu.Unlock()
	a.news()
}

// isNews tells whether a notice is to be told, and remembers that it was.
func (a *Addresses) isNews(matter string, n *Notice) bool {
	key := toldKey{n.NodeID, matter}
	last := a.told[key]
	if last == nil {
		last = &told{since: n.Time}
		a.told[key] = last
	}
	if last.text == n.Text && (n.Fault == "" || n.Time.Sub(last.at) < faultAgain) {
		return false
	}
	if n.Time.Sub(last.since) >= newsWindow {
		last.since, last.count = n.Time, 0
	}
	if last.count >= newsBurst {
		return false
	}
	last.count++
	last.text, last.at = n.Text, n.Time
	return true
}

func (a *Addresses) news() {
	a.mu.Lock()
	more := a.more
	a.mu.Unlock()
	if more != nil {
		more()
	}
}

// forget drops the troubles of earlier boots.
func (a *Addresses) forget(nodeID string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.trouble, nodeID)
	maps.DeleteFunc(a.told, func(k toldKey, _ *told) bool { return k.nodeID == nodeID })
}

func (a *Addresses) troubleOf(nodeID string) trouble {
	if a == nil {
		return trouble{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.trouble[nodeID]
}

// HearDHCP takes what a DHCP server reports: sightings, and what goes wrong
// with a node.
func (s *Service) HearDHCP(e dhcpd.Event) {
	if e.MAC != "" {
		g := Sighting{Kind: SeenDHCP, Time: e.Time, MAC: e.MAC, Serial: e.Serial, Model: e.Model, Address: e.Address, NodeID: e.ID,
			AltSerial: e.AltSerial, Revision: e.Revision}
		if e.Boot {
			g.Kind = SeenBootDHCP
		}
		s.Sighted.Record(g)
	}
	if e.Detail == "" || s.Addresses == nil {
		return
	}
	text := fmt.Sprintf("DHCP: the Pi with the MAC %s: %s", e.MAC, e.Detail)
	switch {
	case e.ID != "" && e.Other != "": // it has told another's serial number
		s.Addresses.Accuse(e.ID, string(e.Kind), text, baremetal.FaultIdentity, e.Time)
	case e.ID != "":
		s.Addresses.Notify(e.ID, string(e.Kind), text, e.Kind == dhcpd.Conflict, e.Time)
	}
	if e.Other != "" { // who says so need not be right, and must not end that one's deploy
		s.Addresses.Notify(e.Other, string(e.Kind), text, false, e.Time)
	}
}
