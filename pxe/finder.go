package pxe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/tftpd"
)

// Finder is the source of boot files that knows machines by more than their
// address. It stands before the trees: it notes who asks, refuses who has the
// address of another machine, and finds the address of a machine that was
// given one by a server of somebody else.
type Finder struct {
	Trees *tftpd.Trees
	// Service is told of sightings and troubles, and publishes what is found.
	Service *Service
	// Addresses are those of the network that is asked from; nil means the Service's.
	Addresses *Addresses
	// Neighbour tells whose MAC an address is; nil means that of this machine's kernel.
	Neighbour func(a netip.Addr) (mac string, ok bool)
	// Hold keeps an address with its MAC until it is released; nil means that
	// this machine's kernel does (HoldNeighbour).
	Hold func(a netip.Addr, mac string) (release func(), err error)
	// Astray tells whether a node's machine cannot be where it belongs, and why;
	// nil means that nobody knows.
	Astray func(ctx context.Context, nodeID string) (reason string, astray bool)
	// Bootcode is the boot loader (tftpd.RootFile) for a Pi 3 that has none to get
	// and whose serial number nobody knows: with it, it asks for the rest by that
	// number. Empty = it gets none.
	Bootcode []byte
	Log      *slog.Logger
}

// Knows implements tftpd.Knower.
func (f *Finder) Knows(client netip.Addr) bool { return f.Trees.Knows(client) }

// claim is what a request tells of its machine.
type claim struct {
	client netip.Addr
	mac    string // by the neighbour table; "" if that does not have it
	serial string // by the prefix
	known  dhcpd.Reservation
	is     bool // known is set: the MAC is registered
}

// Open implements tftpd.Source.
func (f *Finder) Open(ctx context.Context, client netip.Addr, name string) (*tftpd.File, error) {
	c := f.claim(client.Unmap(), name)
	file, err := f.open(ctx, &c, name)
	if errors.Is(err, tftpd.ErrNotFound) && name == tftpd.RootFile && len(f.Bootcode) > 0 && f.Trees.Holder(c.client) == "" && c.known.Serial == "" {
		file, err = &tftpd.File{ID: c.known.ID, Name: name, Size: int64(len(f.Bootcode)), Body: io.NopCloser(bytes.NewReader(f.Bootcode))}, nil
	}
	if err == nil && f.Astray != nil {
		if reason, astray := f.Astray(ctx, file.ID); astray {
			_ = file.Body.Close() // it is not read
			f.Service.Addresses.Notify(file.ID, "place", reason, true, time.Now())
			file, err = nil, &tftpd.LookupError{ID: file.ID, Owner: file.ID, Name: name, Err: tftpd.ErrDenied}
		}
	}
	if err == nil && name == tftpd.RootFile && c.mac != "" {
		f.hold(&c, file)
	}
	id := c.known.ID
	var missing *tftpd.LookupError
	switch {
	case err == nil:
		id = file.ID
	case errors.As(err, &missing) && missing.ID != "":
		id = missing.ID
	}
	f.Service.Sighted.Record(Sighting{Kind: SeenTFTP, Time: time.Now(), MAC: c.mac, Serial: c.serial, Model: modelOf(name), Address: c.client, NodeID: id, Name: name})
	return file, err
}

// hold keeps the address of a Pi whose boot ROM loads its boot loader with its
// MAC until that is read: the ROM of a Pi 3B answers no ARP meanwhile.
func (f *Finder) hold(c *claim, file *tftpd.File) {
	hold := f.Hold
	if hold == nil {
		hold = HoldNeighbour
	}
	release, err := hold(c.client, c.mac)
	if err != nil {
		f.Service.unheld.Do(func() {
			f.Log.Info("Pi 3Bs are not kept in the neighbour table while they load their boot loader, which fails if that takes longer than the kernel's patience; give this program CAP_NET_ADMIN if it does", "err", err)
		})
		return
	}
	file.Body = &heldBody{file.Body, release}
}

// heldBody releases something once it is closed.
type heldBody struct {
	io.ReadCloser
	release func()
}

// Close implements io.Closer.
func (b *heldBody) Close() error {
	b.release()
	return b.ReadCloser.Close()
}

func (f *Finder) claim(client netip.Addr, name string) claim {
	c := claim{client: client}
	if first, _, ok := strings.Cut(name, "/"); ok && tftpd.IsSerial(first) {
		c.serial = strings.ToLower(first)
	}
	find := f.Neighbour
	if find == nil {
		find = Neighbour
	}
	if mac, ok := find(client); ok {
		c.mac = mac
		c.known, c.is = f.table().ByMAC(mac)
	}
	return c
}

func (f *Finder) table() *dhcpd.Table {
	if f.Addresses != nil {
		return f.Addresses.Table
	}
	return f.Service.Addresses.Table
}

func (f *Finder) open(ctx context.Context, c *claim, name string) (*tftpd.File, error) {
	if owner, ok := f.stolen(c); ok {
		return nil, f.denied(c, owner, name, baremetal.FaultIdentity)
	}
	file, err := f.Trees.Open(ctx, c.client, name)
	if err == nil && f.foreign(c, file.ID) {
		_ = file.Body.Close() // it is not read
		owner, _ := f.table().ByID(file.ID)
		if !f.found(ctx, c, name) {
			return nil, f.denied(c, owner, name, "")
		}
		return f.Trees.Open(ctx, c.client, name)
	}
	if err == nil || f.Trees.Holder(c.client) == c.known.ID || !f.found(ctx, c, name) {
		return file, err
	}
	return f.Trees.Open(ctx, c.client, name)
}

// found opens the root of a registered machine to the address that it asks from,
// and tells whether it did.
func (f *Finder) found(ctx context.Context, c *claim, name string) bool {
	if !c.is || !c.named(name) {
		return false
	}
	moved, err := f.learn(ctx, c)
	if err != nil {
		f.Log.Error("the address of a machine was found, and its root could not be opened to it", "node", c.known.ID, "address", c.client, "err", err)
	}
	return moved && err == nil
}

// named tells whether a request names its machine as firmware does: by its serial
// number or its MAC, or as the boot ROM of a Pi 3, which has no other words.
func (c *claim) named(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return name == tftpd.RootFile || c.serial != "" || strings.EqualFold(first, strings.ReplaceAll(c.mac, ":", "-"))
}

// stolen finds the registered machine whose serial number somebody with
// another MAC uses.
func (f *Finder) stolen(c *claim) (dhcpd.Reservation, bool) {
	if c.serial == "" || c.mac == "" {
		return dhcpd.Reservation{}, false
	}
	owner, ok := f.table().BySerial(c.serial)
	return owner, ok && (!c.is || c.known.ID != owner.ID)
}

// foreign tells whether somebody with another MAC asks from the address of a
// machine.
func (f *Finder) foreign(c *claim, id string) bool {
	if c.mac == "" || c.is && c.known.ID == id {
		return false
	}
	_, registered := f.table().ByID(id)
	return registered
}

// denied reports who asks for what is another's. That node is told as well. A
// fault is what the asker's own node is taken out of service for; "" = it is not.
func (f *Finder) denied(c *claim, owner dhcpd.Reservation, name, fault string) error {
	now := time.Now()
	text := fmt.Sprintf("TFTP: a machine with the MAC %s asks from %s for the files of %s (MAC %s, serial %s): it gets nothing; if the Pi was exchanged, correct the port's address and driver_info.serial_number, else find out who pretends",
		c.mac, c.client, owner.Name, owner.MAC, orUnknown(owner.Serial))
	f.Service.Addresses.Notify(owner.ID, "identity", text, false, now)
	switch {
	case c.is && fault != "":
		f.Service.Addresses.Accuse(c.known.ID, "identity", text, fault, now)
	case c.is:
		f.Service.Addresses.Notify(c.known.ID, "identity", text, true, now)
	}
	return &tftpd.LookupError{ID: c.known.ID, Owner: owner.ID, Name: name, Err: tftpd.ErrDenied}
}

func orUnknown(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

// learn opens a machine's root to the address that it asks from, and tells
// whether it did. Its MAC is that of the port, as this machine's kernel has
// found; its serial number must not be another than the registered one.
func (f *Finder) learn(ctx context.Context, c *claim) (bool, error) {
	m := &c.known
	if c.serial != "" && m.Serial != "" && c.serial != m.Serial {
		f.Service.Addresses.Notify(m.ID, "serial", fmt.Sprintf("TFTP: the Pi with the MAC %s asks with the serial number %s, and %s is registered: correct driver_info.serial_number, or put the right Pi in",
			c.mac, c.serial, m.Serial), false, time.Now())
		return false, nil
	}
	spec, ok, err := f.Service.published(ctx, m.ID)
	if err != nil || !ok || spec.Client == c.client {
		return false, err
	}
	old := spec.Client
	if old.IsValid() {
		f.Service.Addresses.Notify(m.ID, "address", f.movedText(c, old, spec.Learn), false, time.Now())
	}
	if !spec.Learn && m.Address != c.client {
		return false, nil
	}
	if free, err := f.vacate(ctx, c); err != nil || !free {
		return false, err
	}
	spec.Client = c.client
	if err := f.Service.Publish(ctx, spec); err != nil {
		return false, err
	}
	f.Log.Info("the address of a machine was found", "node", m.ID, "mac", c.mac, "address", c.client, "before", old)
	return true, nil
}

// vacate closes what is open to an address that has become another machine's,
// and tells whether nothing is open to it any more.
func (f *Finder) vacate(ctx context.Context, c *claim) (bool, error) {
	holder := f.Trees.Holder(c.client)
	if holder == "" {
		return true, nil
	}
	spec, ok, err := f.Service.published(ctx, holder)
	if err != nil || ok && !spec.Learn {
		return false, err
	}
	spec.NodeID, spec.Learn, spec.Client = holder, true, netip.Addr{}
	f.Log.Info("the address of a machine is another's now", "node", holder, "address", c.client, "mac", c.mac)
	return true, f.Service.Publish(ctx, spec)
}

// published tells how a node's root is published; ok is false if it is not.
func (s *Service) published(ctx context.Context, nodeID string) (p PublishRequest, ok bool, err error) {
	list, err := s.OS.List(ctx)
	if err != nil {
		return p, false, err
	}
	for _, r := range list {
		if b := r.Published; r.NodeID == nodeID && b != nil {
			p = PublishRequest{NodeID: nodeID, Client: b.Client, Learn: b.Learn, MAC: b.MAC, Serial: b.Serial, Model: string(b.Model), KernelParams: b.KernelParams}
			if b.OwnServer {
				p.Server = b.Server
			}
			return p, true, nil
		}
	}
	return p, false, nil
}

func (f *Finder) movedText(c *claim, old netip.Addr, learn bool) string {
	text := fmt.Sprintf("TFTP: the address of the Pi with the MAC %s changed from %s to %s", c.mac, old, c.client)
	if c.known.Address == c.client {
		return text + ", which is reserved for it now, and its root was opened to the new one"
	}
	if learn {
		return text + ", and its root was opened to the new one; reserve an address for it on the DHCP server, since a running system loses its root when its address changes (`caddyshack dhcp reservations` lists them)"
	}
	if f.Service.Addresses.Mode == AddressesServer {
		return text + ", which another DHCP server must have given; its root stays closed to it: switch that server off, or set dhcp.mode = \"proxy\""
	}
	return text + "; its root stays closed to it: let the DHCP server reserve the address for it (`caddyshack dhcp reservations` lists them), or correct extra.ip_address of its port and deploy again"
}

// modelOf tells by a file's name which model asks for it; "" if several do.
func modelOf(name string) string {
	base := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case base == "start4.elf", base == "fixup4.dat", strings.HasPrefix(base, "bcm2711-"):
		return dhcpd.ModelPi4
	case base == "kernel_2712.img", strings.HasPrefix(base, "bcm2712"):
		return dhcpd.ModelPi5
	case base == "bcm2710-rpi-3-b-plus.dtb":
		return dhcpd.ModelPi3Plus
	case base == "bcm2710-rpi-3-b.dtb":
		return dhcpd.ModelPi3
	}
	return ""
}
