package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
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
	if cmd.Checksum != "" && cmd.Image == "" {
		return &configError{"--checksum is that of an --image, and none is given"}
	}
	c, err := cmd.client()
	if err != nil {
		return err
	}
	begin := time.Now()
	n, err := getNode(ctx, c, cmd.Node)
	switch {
	case err != nil:
		return cmd.explain(err)
	case n.ProvisionState == "active" && cmd.Image == "":
		fmt.Printf("%s is active already\n", cmd.Node)
		return nil
	case n.ProvisionState == "active":
		return fmt.Errorf("node %s is active with another deploy; `caddyshack undeploy %s` first", cmd.Node, cmd.Node)
	case !slices.ContainsFunc(wayUp, func(s wayStep) bool { return slices.Contains(s.from, n.ProvisionState) }):
		return fmt.Errorf("node %s is in state %q, from which it cannot be deployed", cmd.Node, n.ProvisionState)
	}
	if err := cmd.deploy(ctx, c, n); err != nil {
		return cmd.explain(err)
	}
	fmt.Printf("%s is active after %s; `caddyshack console %s` opens its console\n", cmd.Node, time.Since(begin).Round(100*time.Millisecond), cmd.Node)
	return nil
}

// wayStep is a verb on the way to active.
type wayStep struct {
	from []string
	verb nodes.TargetProvisionState
	to   string
}

var wayUp = []wayStep{
	{[]string{"enroll", "clean failed", "adopt failed", "inspect failed"}, nodes.TargetManage, "manageable"},
	{[]string{"manageable"}, nodes.TargetProvide, "available"},
	{[]string{"available", "deploy failed"}, nodes.TargetActive, "active"},
}

func (cmd deployCmd) deploy(ctx context.Context, c *gophercloud.ServiceClient, n *nodeView) error {
	undo, err := cmd.chooseImage(ctx, c, n)
	if err != nil {
		return err
	}
	for _, step := range wayUp {
		if !slices.Contains(step.from, n.ProvisionState) {
			continue
		}
		n, err = changeState(ctx, c, n.UUID, cmd.Node, step.verb, step.to, cmd.Timeout)
		switch {
		case err == nil:
		case gophercloud.ResponseCodeIs(err, http.StatusBadRequest): // refused at once: the image must not stay
			if left := undo(ctx); left != nil {
				return fmt.Errorf("%w (and taking the image back from the node failed: %w)", cmd.explain(err), cmd.explain(left))
			}
			return err
		default:
			return err
		}
	}
	return nil
}

// imageKeys are what instance_info says of an image.
var imageKeys = []string{"image_source", "image_checksum", "image_os_hash_algo", "image_os_hash_value"}

// chooseImage tells the node its image, in place of all that was said of another
// one; undo takes that back. Without an image it says which one the node keeps.
func (cmd deployCmd) chooseImage(ctx context.Context, c *gophercloud.ServiceClient, n *nodeView) (undo func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	if cmd.Image == "" {
		if s, ok := n.InstanceInfo["image_source"].(string); ok {
			fmt.Fprintf(os.Stderr, "the image is the node's own, %s; `caddyshack undeploy %s` or --image makes it another one\n", oneLine(s), cmd.Node)
		}
		return nothing, nil
	}
	wanted := map[string]any{"image_source": cmd.Image}
	if cmd.Checksum != "" {
		wanted["image_checksum"] = cmd.Checksum
	}
	set := func(ctx context.Context, from, to map[string]any) error {
		var patch nodes.UpdateOpts
		for _, key := range imageKeys {
			path := "/instance_info/" + key
			if v, ok := to[key]; ok {
				patch = append(patch, nodes.UpdateOperation{Op: nodes.AddOp, Path: path, Value: v})
			} else if _, ok := from[key]; ok {
				patch = append(patch, nodes.UpdateOperation{Op: nodes.RemoveOp, Path: path})
			}
		}
		_, err := nodes.Update(ctx, c, n.UUID, patch).Extract()
		return err
	}
	return func(ctx context.Context) error { return set(ctx, wanted, n.InstanceInfo) }, set(ctx, n.InstanceInfo, wanted)
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
