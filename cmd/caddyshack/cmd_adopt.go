package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
)

type adoptCmd struct {
	api
	Nodes   []string      `arg:"" optional:"" name:"node" help:"Names or uuids. Default: all caddies whose Pi is not known yet."`
	Yes     bool          `short:"y" help:"Switch off those that are on; without it they are left alone."`
	Timeout time.Duration `default:"10m" help:"How long to wait for each."`
}

// Run inspects caddies whose Pi is not known, one after another.
func (cmd adoptCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	list, err := cmd.chosen(ctx, c)
	if err != nil {
		return cmd.explain(err)
	}
	if len(list) == 0 {
		fmt.Println("There is no caddy whose Pi is not known. Plug one in; `caddyshack nodes` lists what is there.")
		return nil
	}
	failed := 0
	for i := range list {
		n := &list[i]
		name := n.Name
		if name == "" {
			name = n.UUID
		}
		found, err := cmd.adopt(ctx, c, n.UUID)
		var skip *skipped
		switch {
		case errors.As(err, &skip) && len(cmd.Nodes) == 0:
			fmt.Printf("%s: left out: %s\n", name, skip.why)
		case err != nil:
			failed++
			fmt.Printf("%s: %v\n", name, cmd.explain(err))
		default:
			fmt.Printf("%s: %s\n", name, found)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d caddies were not adopted", failed, len(list))
	}
	return nil
}

// skipped is a caddy that there is nothing to learn of, or that may not be touched.
type skipped struct{ why string }

func (s *skipped) Error() string { return s.why }

// unknownStates are the states in which a node can be inspected, at once or
// after it was made manageable.
var unknownStates = []string{"enroll", "manageable", "inspect failed"}

// chosen lists the nodes to look at.
func (cmd adoptCmd) chosen(ctx context.Context, c *gophercloud.ServiceClient) ([]nodes.Node, error) {
	if len(cmd.Nodes) > 0 {
		var list []nodes.Node
		for _, ident := range cmd.Nodes {
			n, err := nodes.Get(ctx, c, url.PathEscape(ident)).Extract()
			if err != nil {
				return nil, err
			}
			list = append(list, *n)
		}
		return list, nil
	}
	pages, err := nodes.ListDetail(c, nodes.ListOpts{Driver: typeCaddy}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := nodes.ExtractNodes(pages)
	if err != nil {
		return nil, err
	}
	var list []nodes.Node
	for i := range all {
		// A Pi 3B that was adopted may have no serial number yet.
		known := all[i].DriverInfo["serial_number"] != nil || strings.Contains(fmt.Sprint(all[i].Properties["capabilities"]), "model:")
		if !known && slices.Contains(unknownStates, all[i].ProvisionState) {
			list = append(list, all[i])
		}
	}
	return list, nil
}

// adopt inspects one caddy and tells what was found.
func (cmd adoptCmd) adopt(ctx context.Context, c *gophercloud.ServiceClient, uuid string) (string, error) {
	checks, err := nodes.Validate(ctx, c, uuid).Extract()
	if err != nil {
		return "", err
	}
	if !checks.Inspect.Result {
		return "", &skipped{checks.Inspect.Reason}
	}
	n, err := getNode(ctx, c, uuid)
	if err != nil {
		return "", err
	}
	if !slices.Contains(unknownStates, n.ProvisionState) {
		return "", fmt.Errorf("it is in state %q; only nodes in %s can be inspected", n.ProvisionState, strings.Join(unknownStates, ", "))
	}
	if n.PowerState != "power off" {
		if !cmd.Yes {
			return "", &skipped{fmt.Sprintf("its power is %q; --yes switches it off to look at it", dash(n.PowerState))}
		}
		if err := cmd.switchOff(ctx, c, uuid); err != nil {
			return "", err
		}
	}
	if n.ProvisionState != "manageable" {
		if _, err := changeState(ctx, c, uuid, "", nodes.TargetManage, "manageable", cmd.Timeout); err != nil {
			return "", err
		}
	}
	if n, err = changeState(ctx, c, uuid, "", nodes.TargetInspect, "manageable", cmd.Timeout); err != nil {
		return "", err
	}
	return describePi(ctx, c, n)
}

func (cmd adoptCmd) switchOff(ctx context.Context, c *gophercloud.ServiceClient, uuid string) error {
	if err := nodes.ChangePowerState(ctx, c, uuid, nodes.PowerStateOpts{Target: nodes.PowerOff}).ExtractErr(); err != nil {
		return err
	}
	return watch(ctx, c, uuid, "", cmd.Timeout, func(n *nodeView) (bool, error) {
		if n.settled() && n.LastError != "" {
			return false, errors.New(n.LastError)
		}
		return n.settled() && n.PowerState == "power off", nil
	})
}

// describePi tells what an inspection has found.
func describePi(ctx context.Context, c *gophercloud.ServiceClient, n *nodeView) (string, error) {
	pages, err := ports.List(c, ports.ListOpts{NodeUUID: n.UUID}).AllPages(ctx)
	if err != nil {
		return "", err
	}
	list, err := ports.ExtractPorts(pages)
	if err != nil {
		return "", err
	}
	macs := make([]string, 0, len(list))
	for i := range list {
		macs = append(macs, list[i].Address)
	}
	serial, _ := n.DriverInfo["serial_number"].(string)
	switch {
	case len(macs) == 0:
		return fmt.Sprintf("%s, serial %s; its MAC was not heard, so create its port yourself", n.Description, serial), nil
	case serial == "":
		return fmt.Sprintf("%s, MAC %s; it has not told its serial number, which a Pi 3B does with its first boot", n.Description, strings.Join(macs, " ")), nil
	}
	return fmt.Sprintf("%s, serial %s, MAC %s", n.Description, serial, strings.Join(macs, " ")), nil
}
