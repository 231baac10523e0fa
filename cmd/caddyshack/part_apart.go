package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"caddyshack/drivers/networks"
	"caddyshack/internal/ingress"
)

// openApart keeps the nodes in the networks of the configuration from what is
// not for them: from this process's listeners for people and programs, and from
// each other by way of this machine.
func (d *daemon) openApart(context.Context) error {
	boots := d.cfg.bootNetworks()
	if len(boots) == 0 {
		return nil
	}
	if forwarding := forwardingNetworks(boots); len(forwarding) > 0 {
		return errors.New(forwardingWords(forwarding))
	}
	var at []netip.Prefix
	for _, n := range boots {
		at = append(at, n.Server)
	}
	filter, err := ingress.On(at)
	if err != nil {
		return err
	}
	d.apart = filter.Control
	return nil
}

// listen binds a socket that is not for nodes.
func (d *daemon) listen(network, address string) (net.Listener, error) {
	lc := net.ListenConfig{Control: d.apart}
	return lc.Listen(context.Background(), network, address) // binding does not block
}

// forwarding is a network whose nodes' packets this machine hands on, and the
// kernel's settings that stop it.
type forwarding struct {
	network string
	remedy  []string
}

// forwardingNetworks are those that the configuration does not call routed.
func forwardingNetworks(boots []networks.Network) []forwarding {
	var all []forwarding
	for _, n := range boots {
		if n.Routed {
			continue
		}
		link, err := ingress.Interface(n.Server.Addr())
		if err != nil || link == nil {
			continue // binding to the address says what is wrong
		}
		var remedy []string
		if sysctlOn("net/ipv4/conf", link.Name, "forwarding") {
			remedy = append(remedy, fmt.Sprintf("net/ipv4/conf/%s/forwarding=0", link.Name))
		}
		// IPv6 is forwarded from all interfaces or none. Nothing of ours needs it in
		// a network of nodes, and the machine may need it elsewhere.
		if sysctlOn("net/ipv6/conf", "all", "forwarding") && !sysctlOn("net/ipv6/conf", link.Name, "disable_ipv6") {
			remedy = append(remedy, fmt.Sprintf("net/ipv6/conf/%s/disable_ipv6=1", link.Name))
		}
		if len(remedy) > 0 {
			all = append(all, forwarding{n.Name, remedy})
		}
	}
	return all
}

// sysctlOn reports a setting of the kernel; one that it lacks is off.
func sysctlOn(path ...string) bool {
	text, err := os.ReadFile(filepath.Join("/proc/sys", filepath.Join(path...)))
	return err == nil && strings.TrimSpace(string(text)) != "0"
}

// forwardingWords say what is wrong and what to do.
func forwardingWords(all []forwarding) string {
	var names, remedies []string
	for _, f := range all {
		names = append(names, f.network)
		remedies = append(remedies, f.remedy...)
	}
	return fmt.Sprintf("this machine forwards what nodes in %s send to other networks, so that nodes of different tenants would reach each other: run `sysctl -w %s` "+
		"(and keep it in /etc/sysctl.d), or set routed = true for networks that your firewall keeps apart", strings.Join(names, " and "), strings.Join(remedies, " "))
}

// watchForwarding says so when somebody has switched forwarding on since.
func (d *daemon) watchForwarding() {
	if forwarding := forwardingNetworks(d.cfg.bootNetworks()); len(forwarding) > 0 {
		d.log.Error("nodes are not kept apart", "why", forwardingWords(forwarding))
	}
}
