package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"caddyshack/drivers/console"
)

type deployCmd struct {
	api
	Node     string        `arg:"" help:"Name or uuid."`
	Image    string        `help:"Root file system archive (file:// or http(s)://); default: what the node or the server says."`
	Checksum string        `help:"Its sha256; needed for http(s)."`
	Timeout  time.Duration `default:"20m" help:"How long to wait for it."`
}

// Run takes the node through manage and provide where needed, then deploys.
func (cmd deployCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.deploy(ctx, c); err != nil {
		return cmd.explain(err)
	}
	fmt.Printf("%s is active after %s; `caddyshack console %s` opens its console\n", cmd.Node, time.Since(begin).Round(100*time.Millisecond), cmd.Node)
	return nil
}

func (cmd deployCmd) deploy(ctx context.Context, c *gophercloud.ServiceClient) error {
	n, err := getNode(ctx, c, cmd.Node)
	if err != nil {
		return err
	}
	if cmd.Image != "" {
		patch := nodes.UpdateOpts{
			nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_source", Value: cmd.Image}}
		if cmd.Checksum != "" {
			patch = append(patch, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_checksum", Value: cmd.Checksum})
		}
		if _, err := nodes.Update(ctx, c, n.UUID, patch).Extract(); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		from []string
		verb nodes.TargetProvisionState
		to   string
	}{
		{[]string{"enroll", "clean failed", "adopt failed", "inspect failed"}, nodes.TargetManage, "manageable"},
		{[]string{"manageable"}, nodes.TargetProvide, "available"},
		{[]string{"available", "deploy failed"}, nodes.TargetActive, "active"},
	} {
		for _, from := range step.from {
			if n.ProvisionState == from {
				if n, err = changeState(ctx, c, n.UUID, cmd.Node, step.verb, step.to, cmd.Timeout); err != nil {
					return err
				}
				break
			}
		}
	}
	if n.ProvisionState != "active" {
		return fmt.Errorf("node %s is in state %q, from which it cannot be deployed", cmd.Node, n.ProvisionState)
	}
	return nil
}

// changeState asks for a verb and waits for the state it leads to.
func changeState(ctx context.Context, c *gophercloud.ServiceClient, uuid, shown string, verb nodes.TargetProvisionState, to string, timeout time.Duration) (*nodeView, error) {
	if err := nodes.ChangeProvisionState(ctx, c, uuid, nodes.ProvisionStateOpts{Target: verb}).ExtractErr(); err != nil {
		return nil, err
	}
	var final *nodeView
	err := watch(ctx, c, uuid, shown, timeout, func(n *nodeView) (bool, error) {
		final = n
		if n.ProvisionState == to && n.Reservation == "" {
			return true, nil
		}
		if n.LastError != "" && n.Reservation == "" && n.ProvisionState != to {
			return false, errors.New(n.LastError)
		}
		return false, nil
	})
	return final, err
}

type undeployCmd struct {
	api
	Node    string        `arg:"" help:"Name or uuid."`
	Timeout time.Duration `default:"10m" help:"How long to wait for it."`
}

// Run takes the node's system away.
func (cmd undeployCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	if _, err := changeState(ctx, c, url.PathEscape(cmd.Node), cmd.Node, nodes.TargetDeleted, "available", cmd.Timeout); err != nil {
		return cmd.explain(err)
	}
	fmt.Println(cmd.Node, "is available")
	return nil
}

type consoleCmd struct {
	api
	Node string `arg:"" help:"Name or uuid."`
}

type consoleState struct {
	Enabled bool          `json:"console_enabled"`
	Info    *console.Info `json:"console_info"`
}

// Run enables the node's console if it is not, and attaches this terminal to it.
func (cmd consoleCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	u := c.ServiceURL("nodes", url.PathEscape(cmd.Node), "states", "console")
	var state consoleState
	if err := getInto(ctx, c, u, &state); err != nil {
		return cmd.explain(err)
	}
	if !state.Enabled {
		resp, err := c.Put(ctx, u, map[string]bool{"enabled": true}, nil, &gophercloud.RequestOpts{OkCodes: []int{202}})
		if err != nil {
			return cmd.explain(err)
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		err = watch(ctx, c, cmd.Node, "", 30*time.Second, func(n *nodeView) (bool, error) {
			if n.ConsoleEnabled {
				return true, nil
			}
			if n.LastError != "" && n.Reservation == "" {
				return false, errors.New(n.LastError)
			}
			return false, nil
		})
		if err != nil {
			return cmd.explain(err)
		}
		if err := getInto(ctx, c, u, &state); err != nil {
			return cmd.explain(err)
		}
	}
	if state.Info == nil {
		return fmt.Errorf("node %s has no console to attach to", cmd.Node)
	}
	client, err := cmd.httpClient()
	if err != nil {
		return err
	}
	return console.Attach(ctx, state.Info.URL, os.Stdin, os.Stdout, console.AttachOptions{Name: cmd.Node, HTTPClient: client})
}

func getInto(ctx context.Context, c *gophercloud.ServiceClient, u string, into any) error {
	resp, err := c.Get(ctx, u, into, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
