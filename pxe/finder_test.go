package pxe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"caddyshack/pxe"
	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
)

// near is an operating-system server that publishes into trees.
type near struct {
	pxe.OSServer // the calls that no test makes
	trees        *tftpd.Trees
	published    map[string]roots.BootSpec
}

func (n *near) Export(_ context.Context, p pxe.PublishRequest) error {
	n.trees.Remove(p.NodeID)
	n.published[p.NodeID] = roots.BootSpec{NodeID: p.NodeID, Client: p.Client, Learn: p.Learn, MAC: p.MAC, Serial: p.Serial}
	if !p.Client.IsValid() {
		return nil
	}
	return n.trees.Put(tftpd.Tree{ID: p.NodeID, Client: p.Client, Prefixes: []string{p.Serial, strings.ReplaceAll(p.MAC, ":", "-")},
		Files: map[string]tftpd.Content{"config.txt": {Data: []byte(p.NodeID)}, "bootcode.bin": {Data: []byte("rom")}}})
}

func (n *near) List(context.Context) ([]roots.Root, error) {
	var list []roots.Root
	for id, spec := range n.published {
		list = append(list, roots.Root{NodeID: id, Published: &spec})
	}
	return list, nil
}

// segment is a network with two machines whose addresses somebody else gives.
type segment struct {
	t      *testing.T
	finder *pxe.Finder
	os     *near
	arp    map[string]string
}

const (
	macA, serialA = "dc:a6:32:00:00:0a", "0a0a0a0a"
	macB, serialB = "dc:a6:32:00:00:0b", "0b0b0b0b"
	macX          = "02:00:00:00:00:99"
)

func newSegment(t *testing.T, learn bool) *segment {
	t.Helper()
	table, err := dhcpd.OpenTable(dhcpd.TableConfig{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Loose: true})
	if err != nil {
		t.Fatal(err)
	}
	trees, err := tftpd.NewTrees("")
	if err != nil {
		t.Fatal(err)
	}
	s := &segment{t: t, os: &near{trees: trees, published: map[string]roots.BootSpec{}}, arp: map[string]string{}}
	service := &pxe.Service{OS: s.os, Addresses: &pxe.Addresses{Mode: pxe.AddressesProxy, Table: table}}
	s.finder = &pxe.Finder{Trees: trees, Service: service, Log: slog.New(slog.DiscardHandler),
		Neighbour: func(a netip.Addr) (string, bool) { mac, ok := s.arp[a.String()]; return mac, ok }}
	for _, m := range []pxe.Machine{{NodeID: nodeA, Name: "a", MAC: macA, Serial: serialA}, {NodeID: nodeB, Name: "b", MAC: macB, Serial: serialB}} {
		if _, err := table.Register(dhcpd.Machine{ID: m.NodeID, Name: m.Name, MAC: m.MAC, Serial: m.Serial}); err != nil {
			t.Fatal(err)
		}
		p := pxe.PublishRequest{NodeID: m.NodeID, MAC: m.MAC, Serial: m.Serial, Learn: learn}
		if !learn {
			p.Client = netip.MustParseAddr(map[string]string{nodeA: "10.0.0.5", nodeB: "10.0.0.6"}[m.NodeID])
		}
		if err := service.Publish(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// get asks for a file as a machine with a MAC at an address, and returns its
// content, "denied" or "missing".
func (s *segment) get(mac, address, name string) string {
	s.t.Helper()
	if mac != "" {
		s.arp[address] = mac
	}
	f, err := s.finder.Open(s.t.Context(), netip.MustParseAddr(address), name)
	switch {
	case errors.Is(err, tftpd.ErrDenied):
		return "denied"
	case errors.Is(err, tftpd.ErrNotFound):
		return "missing"
	case err != nil:
		s.t.Fatal(err)
	}
	defer f.Body.Close()
	text, err := io.ReadAll(f.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// While a Pi 3's ROM loads its boot loader, its address is held with the MAC
// that was found there, and no longer.
func TestHeldWhileItLoads(t *testing.T) {
	t.Parallel()
	s := newSegment(t, false)
	held := map[string]string{}
	var refuse error
	s.finder.Hold = func(a netip.Addr, mac string) (func(), error) {
		held[a.String()] = mac
		return func() { delete(held, a.String()) }, refuse
	}
	open := func(mac, address, name string) *tftpd.File {
		t.Helper()
		if mac != "" {
			s.arp[address] = mac
		}
		f, err := s.finder.Open(t.Context(), netip.MustParseAddr(address), name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, want := range map[string]string{"bootcode.bin": macA, serialA + "/config.txt": ""} {
		f := open(macA, "10.0.0.5", name)
		if held["10.0.0.5"] != want {
			t.Errorf("while %s is read, %q is held, want %q", name, held["10.0.0.5"], want)
		}
		if text, err := io.ReadAll(f.Body); err != nil || len(text) == 0 {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if err := f.Body.Close(); err != nil || len(held) > 0 {
			t.Errorf("after %s was read: %v, held %v", name, err, held)
		}
	}
	_ = open("", "10.0.0.6", "bootcode.bin").Body.Close()
	if _, tried := held["10.0.0.6"]; tried {
		t.Error("an address without a MAC is held")
	}
	refuse = os.ErrPermission // it works without
	if got := s.get(macA, "10.0.0.5", "bootcode.bin"); got != "rom" {
		t.Errorf("without the right to hold it gets %q", got)
	}
}

// A Pi 3 whose serial number nobody knows gets the boot loader, and nothing more.
func TestBootcodeForStrangers(t *testing.T) {
	t.Parallel()
	s := newSegment(t, false)
	const macC = "b8:27:eb:00:00:0c"
	if _, err := s.finder.Service.Addresses.Table.Register(dhcpd.Machine{ID: nodeC, Name: "c", MAC: macC}); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{"", "the usual one"} {
		s.finder.Bootcode = []byte(given)
		want := given
		if given == "" {
			want = "missing"
		}
		for what, tc := range map[string]struct{ mac, address, name, want string }{
			"a stranger":                       {macX, "10.0.0.77", "bootcode.bin", want},
			"one whose MAC is not found":       {"", "10.0.0.78", "bootcode.bin", want},
			"a node whose serial is not known": {macC, "10.0.0.79", "bootcode.bin", want},
			"a node, of its own root":          {macA, "10.0.0.5", "bootcode.bin", "rom"},
			"another file":                     {macX, "10.0.0.77", "start.elf", "missing"},
			"with a prefix":                    {macX, "10.0.0.77", "0c0c0c0c/bootcode.bin", "missing"},
			"who pretends":                     {macX, "10.0.0.5", "bootcode.bin", "denied"},
		} {
			if got := s.get(tc.mac, tc.address, tc.name); got != tc.want {
				t.Errorf("%s gets %q, want %q", what, got, tc.want)
			}
		}
	}
	if list, err := s.finder.Service.Sightings(t.Context(), time.Time{}); err != nil || !slices.ContainsFunc(list, func(g pxe.Sighting) bool {
		return g.NodeID == nodeC && g.Name == "bootcode.bin" && g.MAC == macC
	}) {
		t.Errorf("sightings: %+v, %v", list, err)
	}
}

// notices are the texts that a node's people are told.
func (s *segment) notices(node string) string {
	s.t.Helper()
	list, err := s.finder.Service.Notices(s.t.Context(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	var texts []string
	for _, n := range list {
		if n.NodeID == node {
			texts = append(texts, n.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func TestAddressesAreFoundByMAC(t *testing.T) {
	t.Parallel()
	s := newSegment(t, true)
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	// Nobody gets anything by saying a serial number alone.
	expect("no neighbour", s.get("", "10.0.0.50", serialA+"/config.txt"), "missing")
	expect("another MAC", s.get(macX, "10.0.0.51", serialA+"/config.txt"), "denied")
	expect("another node's MAC", s.get(macB, "10.0.0.52", serialA+"/config.txt"), "denied")
	expect("another serial number", s.get(macA, "10.0.0.53", "12345678/config.txt"), "missing")
	if len(s.os.trees.IDs()) != 0 {
		t.Fatalf("opened: %v", s.os.trees.IDs())
	}
	for node, want := range map[string][]string{
		nodeA: {"a machine with the MAC " + macX + " asks from 10.0.0.51 for the files of a", "asks with the serial number 12345678, and 0a0a0a0a is registered"},
		nodeB: {"a machine with the MAC " + macB + " asks from 10.0.0.52 for the files of a"},
	} {
		for _, w := range want {
			if !strings.Contains(s.notices(node), w) {
				t.Errorf("%s is not told %q:\n%s", node, w, s.notices(node))
			}
		}
	}
	// Nor who does not name himself as firmware does.
	expect("no name", s.get(macA, "10.0.0.54", "config.txt"), "missing")
	expect("another's MAC as a name", s.get(macA, "10.0.0.54", strings.ReplaceAll(macX, ":", "-")+"/config.txt"), "missing")
	if len(s.os.trees.IDs()) != 0 {
		t.Fatalf("opened: %v", s.os.trees.IDs())
	}
	// The right one, by serial number, and a Pi 3's ROM, which says none.
	expect("A", s.get(macA, "10.0.0.5", serialA+"/config.txt"), nodeA)
	expect("B's ROM", s.get(macB, "10.0.0.6", "bootcode.bin"), "rom")
	expect("B", s.get(macB, "10.0.0.6", serialB+"/config.txt"), nodeB)
	if text := s.notices(nodeA); strings.Contains(text, "changed from") {
		t.Errorf("the first address is called a change:\n%s", text)
	}
	// Somebody takes A's address while A is away.
	expect("stolen address", s.get(macX, "10.0.0.5", serialA+"/config.txt"), "denied")
	// The router gives A another address, and B that of A.
	expect("A moves", s.get(macA, "10.0.0.7", serialA+"/config.txt"), nodeA)
	expect("B moves to A's", s.get(macB, "10.0.0.5", serialB+"/config.txt"), nodeB)
	expect("both swap", s.get(macA, "10.0.0.5", serialA+"/config.txt"), nodeA)
	expect("both swap", s.get(macB, "10.0.0.7", serialB+"/config.txt"), nodeB)
	// A Pi 3's ROM at an address that was another's, and one named by its MAC.
	expect("B's ROM at A's", s.get(macB, "10.0.0.5", "bootcode.bin"), "rom")
	if got := s.os.trees.Holder(netip.MustParseAddr("10.0.0.5")); got != nodeB {
		t.Errorf("A's address is %q's now", got)
	}
	expect("A by its MAC", s.get(macA, "10.0.0.7", strings.ReplaceAll(macA, ":", "-")+"/config.txt"), nodeA)
	expect("B back", s.get(macB, "10.0.0.7", serialB+"/config.txt"), nodeB)
	if text := s.notices(nodeA); !strings.Contains(text, "changed from 10.0.0.5 to 10.0.0.7, and its root was opened to the new one; reserve an address") {
		t.Errorf("the change is not told:\n%s", text)
	}
	seen, err := s.finder.Service.Sightings(t.Context(), time.Time{})
	if err != nil || len(seen) == 0 {
		t.Fatalf("sightings %v, %v", seen, err)
	}
	last := seen[len(seen)-1]
	if last.MAC != macB || last.Serial != serialB || last.Address.String() != "10.0.0.7" || last.NodeID != nodeB || last.Kind != pxe.SeenTFTP || last.Name != serialB+"/config.txt" {
		t.Errorf("last sighting %+v", last)
	}
}

// An address that is given is never given up: neither to who has the MAC, nor
// to who has the address.
func TestGivenAddressesStay(t *testing.T) {
	t.Parallel()
	s := newSegment(t, false)
	for what, got := range map[string][2]string{
		"A at its address":   {s.get(macA, "10.0.0.5", serialA+"/config.txt"), nodeA},
		"A elsewhere":        {s.get(macA, "10.0.0.77", serialA+"/config.txt"), "denied"},
		"behind a router":    {s.get("", "10.0.0.6", serialB+"/config.txt"), nodeB},
		"X at B's address":   {s.get(macX, "10.0.0.6", serialB+"/config.txt"), "denied"},
		"A at B's address":   {s.get(macA, "10.0.0.6", serialB+"/config.txt"), "denied"},
		"X asks by MAC form": {s.get(macX, "10.0.0.6", strings.ReplaceAll(macB, ":", "-")+"/config.txt"), "denied"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %q, want %q", what, got[0], got[1])
		}
	}
	if text := s.notices(nodeA); !strings.Contains(text, "changed from 10.0.0.5 to 10.0.0.77; its root stays closed to it") {
		t.Errorf("A is told:\n%s", text)
	}
	// Unless the address is the one that is reserved now.
	m := dhcpd.Machine{ID: nodeA, Name: "a", MAC: macA, Serial: serialA, Address: netip.MustParseAddr("10.0.0.77")}
	if _, err := s.finder.Service.Addresses.Table.Register(m); err != nil {
		t.Fatal(err)
	}
	if got := s.get(macA, "10.0.0.77", serialA+"/config.txt"); got != nodeA {
		t.Errorf("A at its new address: got %q", got)
	}
	if text := s.notices(nodeA); !strings.Contains(text, "which is reserved for it now, and its root was opened to the new one") {
		t.Errorf("A is told:\n%s", text)
	}
}

func TestNoticesAreToldOncePerBoot(t *testing.T) {
	t.Parallel()
	s := newSegment(t, true)
	a := s.finder.Service.Addresses
	told := 0
	a.OnNotice(func() { told++ })
	now := time.Now()
	a.Notify(nodeA, "x", "one", false, now)
	a.Notify(nodeA, "x", "one", false, now)
	a.Notify(nodeA, "x", "two", true, now)
	list, err := s.finder.Service.Notices(t.Context(), 1)
	if err != nil || told != 2 || len(list) != 1 || list[0].Text != "two" || !list[0].Error || list[0].Seq != 2 {
		t.Errorf("told %d times; %+v, %v", told, list, err)
	}
	if list, _ := s.finder.Service.Notices(t.Context(), 99); len(list) != 2 {
		t.Errorf("after a restart of the boot service: %+v", list)
	}
	// Who makes up ever new names does not fill the history with them.
	for i := range 100 {
		a.Notify(nodeA, "x", fmt.Sprint("made up ", i), false, now.Add(time.Second))
	}
	if told != 5 {
		t.Errorf("told %d times in a flood, want 5", told)
	}
	a.Notify(nodeA, "x", "later", false, now.Add(10*time.Minute))
	a.Notify(nodeA, "y", "another matter", false, now)
	if told != 7 {
		t.Errorf("told %d times after it, want 7", told)
	}
}

// Who pretends to be another node is to be taken out of service, again and again
// as long as that goes on; the other is told.
func TestPretendersAreAccused(t *testing.T) {
	t.Parallel()
	s := newSegment(t, true)
	faults := func() (list []string) {
		t.Helper()
		all, err := s.finder.Service.Notices(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			if n.Fault != "" {
				list = append(list, n.NodeID+" "+n.Fault)
			}
		}
		return list
	}
	s.get(macX, "10.0.0.51", serialA+"/config.txt")
	s.finder.Service.HearDHCP(dhcpd.Event{Kind: dhcpd.Conflict, MAC: macX, Other: nodeA, Detail: "a stranger"})
	s.finder.Service.HearDHCP(dhcpd.Event{Kind: dhcpd.Conflict, MAC: macA, ID: nodeA, Detail: "two Pis with one MAC"})
	if got := faults(); len(got) != 0 {
		t.Errorf("for what others say there is a fault: %q", got)
	}
	s.get(macB, "10.0.0.52", serialA+"/config.txt")
	want := []string{nodeB + " identity conflict"}
	if got := faults(); !slices.Equal(got, want) {
		t.Errorf("by TFTP: %q", got)
	}
	now := time.Now()
	for _, after := range []time.Duration{0, 59 * time.Second, 60 * time.Second, 70 * time.Second, 119 * time.Second, 120 * time.Second} {
		s.finder.Service.HearDHCP(dhcpd.Event{Kind: dhcpd.Conflict, Time: now.Add(after), MAC: macB, ID: nodeB, Other: nodeA, Detail: "the serial number of a"})
	}
	if got := faults(); len(got) != 1+3 {
		t.Errorf("by DHCP, six times within two minutes: %q", got)
	}
	if got := s.notices(nodeA); strings.Count(got, "the serial number of a") != 1 {
		t.Errorf("who is pretended to be is told %q", got)
	}
}
