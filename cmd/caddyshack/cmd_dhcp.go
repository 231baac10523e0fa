package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"

	"caddyshack/pxe"
)

type dhcpCmd struct {
	Reservations reservationsCmd `cmd:"" help:"List the address of each node's Pi, to be entered in a home router or another DHCP server."`
	Dnsmasq      dnsmasqCmd      `cmd:"" help:"Print what dnsmasq's configuration needs for dhcp.mode = \"dnsmasq\"."`
}

type reservationsCmd struct {
	api
}

// reservation is a line of the list.
type reservation struct {
	mac, name string
	address   netip.Addr // not valid = none yet
}

// Run prints the list by address.
func (cmd reservationsCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	pages, err := nodes.List(c, nodes.ListOpts{Fields: []string{"uuid", "name"}}).AllPages(ctx)
	if err != nil {
		return cmd.explain(err)
	}
	all, err := nodes.ExtractNodes(pages)
	if err != nil {
		return err
	}
	names := make(map[string]string, len(all))
	for _, n := range all {
		names[n.UUID] = n.Name
	}
	if pages, err = ports.ListDetail(c, ports.ListOpts{}).AllPages(ctx); err != nil {
		return cmd.explain(err)
	}
	found, err := ports.ExtractPorts(pages)
	if err != nil {
		return err
	}
	var list []reservation
	for _, p := range found {
		if !p.PXEEnabled {
			continue
		}
		r := reservation{mac: p.Address, name: cmp.Or(names[p.NodeUUID], p.NodeUUID)}
		for _, text := range []any{p.Extra["ip_address"], p.InternalInfo[reservedKey]} {
			s, _ := text.(string)
			if a, err := netip.ParseAddr(s); err == nil && !r.address.IsValid() {
				r.address = a
			}
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		fmt.Println("No node has a port that boots. Create one: openstack baremetal port create MAC --node NODE")
		return nil
	}
	slices.SortFunc(list, func(a, b reservation) int {
		return cmp.Or(a.address.Compare(b.address), cmp.Compare(a.name, b.name))
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "MAC\tADDRESS\tNAME")
	for _, r := range list {
		address := "none: set dhcp.range, or extra.ip_address of the port"
		if r.address.IsValid() {
			address = r.address.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.mac, address, r.name)
	}
	return w.Flush()
}

type dnsmasqCmd struct {
	Config string `required:"" type:"path" help:"The configuration file of serve."`
}

// Run prints lines for dnsmasq.conf.
func (cmd dnsmasqCmd) Run() error {
	cfg, err := loadConfig(cmd.Config)
	if err != nil {
		return err
	}
	if cfg.DHCP.Mode != string(pxe.AddressesDnsmasq) {
		return &configError{fmt.Sprintf("%s: dhcp.mode is %q; these lines are for \"dnsmasq\"", cmd.Config, cfg.DHCP.Mode)}
	}
	own, err := netip.ParseAddr(cfg.Boot.Address)
	if err != nil {
		return &configError{fmt.Sprintf("%s: boot.address %q is not an address", cmd.Config, cfg.Boot.Address)}
	}
	_, subnet, err := interfaceWith(own)
	if err != nil {
		return err
	}
	if s, err := cfg.DHCP.subnet(); err == nil && s.IsValid() {
		subnet = s
	}
	network := "NETWORK"
	if subnet.IsValid() {
		network = subnet.Addr().String()
	}
	fmt.Printf(`# For dnsmasq.conf. The Pis' firmware is told where to boot, its clients besides
# them are not touched. Without a dhcp-range of yours, this one serves the Pis alone.
#dhcp-range=%s,static
%s`, network, cfg.DHCP.dnsmasq(own).Config())
	return nil
}
