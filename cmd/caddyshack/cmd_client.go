package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

type nodesCmd struct {
	api
}

// Run lists the nodes.
func (cmd nodesCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	pages, err := nodes.ListDetail(c, nodes.ListOpts{}).AllPages(ctx)
	if err != nil {
		return cmd.explain(err)
	}
	list, err := nodes.ExtractNodes(pages)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Println("There are no nodes yet. Create one: openstack baremetal node create --driver caddy --name caddy-1 …")
		return nil
	}
	return printNodes(os.Stdout, list)
}

// printNodes prints nodes as a table. What their notes hold is somebody else's text.
func printNodes(out io.Writer, list []nodes.Node) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPOWER\tSTATE\tDRIVER\tUUID\tNOTE")
	for _, n := range list {
		power := dash(n.PowerState)
		if n.TargetPowerState != "" {
			power += " → " + n.TargetPowerState
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", dash(n.Name), power, n.ProvisionState, n.Driver, n.UUID, note(&n))
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// note is the first thing a person should know about the node.
func note(n *nodes.Node) string {
	switch {
	case n.Maintenance:
		return cut("maintenance: "+n.MaintenanceReason, longestNote)
	case n.LastError != "":
		return cut(n.LastError, longestNote)
	}
	return cut(n.Description, longestNote)
}

// longestNote is how much of a note a list shows, in characters.
const longestNote = 80

// oneLine is what people and machines wrote, as one line that commands no terminal.
func oneLine(s string) string { return strings.Join(strings.Fields(printable(s)), " ") }

// printable leaves out what a terminal takes for commands, and what changes the
// direction of text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return -1
		}
		return r
	}, s)
}

func cut(s string, most int) string {
	s = oneLine(s)
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

type showCmd struct {
	api
	Node string `arg:"" help:"Name or uuid."`
}

// Run shows one node and what happened to it last.
func (cmd showCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	n, err := getNode(ctx, c, cmd.Node)
	if err != nil {
		return cmd.explain(err)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, row := range [][2]string{
		{"name", n.Name}, {"uuid", n.UUID}, {"driver", n.Driver}, {"power_state", n.PowerState},
		{"provision_state", n.ProvisionState}, {"target_provision_state", n.TargetProvisionState},
		{"waiting for", n.waitingFor()}, {"reservation", n.Reservation}, {"maintenance_reason", n.MaintenanceReason},
		{"last_error", n.LastError}, {"resource_class", n.ResourceClass}, {"description", n.Description},
	} {
		if row[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", row[0], oneLine(row[1]))
		}
	}
	for _, m := range []struct {
		name string
		v    map[string]any
	}{{"driver_info", n.DriverInfo}, {"instance_info", n.InstanceInfo}, {"properties", n.Properties}, {"extra", n.Extra}} {
		if len(m.v) > 0 {
			text, err := json.Marshal(m.v)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\t%s\n", m.name, printable(string(text)))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return cmd.printHistory(ctx, c)
}

// printHistory prints the newest events of the node, oldest first.
func (cmd showCmd) printHistory(ctx context.Context, c *gophercloud.ServiceClient) error {
	var body struct {
		History []struct {
			CreatedAt time.Time `json:"created_at"`
			Severity  string    `json:"severity"`
			Event     string    `json:"event"`
		} `json:"history"`
	}
	resp, err := c.Get(ctx, c.ServiceURL("nodes", url.PathEscape(cmd.Node), "history")+"?detail=true", &body, nil)
	if err != nil {
		return cmd.explain(err)
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	const newest = 10
	events := body.History[max(0, len(body.History)-newest):]
	if len(events) > 0 {
		fmt.Println("\nhistory:")
	}
	for _, e := range events {
		fmt.Printf("  %s  %-5s  %s\n", e.CreatedAt.Local().Format(time.DateTime), e.Severity, oneLine(e.Event))
	}
	return nil
}

type powerCmd struct {
	api
	Node    string        `arg:"" help:"Name or uuid."`
	Target  string        `arg:"" enum:"on,off,reboot,soft-off,soft-reboot" help:"on, off, reboot, soft-off or soft-reboot."`
	Timeout time.Duration `default:"3m" help:"How long to wait for it."`
}

// Run switches the node and waits until the new state is read back.
func (cmd powerCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	target := map[string]nodes.TargetPowerState{"on": nodes.PowerOn, "off": nodes.PowerOff, "reboot": nodes.Rebooting,
		"soft-off": nodes.SoftPowerOff, "soft-reboot": nodes.SoftRebooting}[cmd.Target]
	if err := nodes.ChangePowerState(ctx, c, url.PathEscape(cmd.Node), nodes.PowerStateOpts{Target: target}).ExtractErr(); err != nil {
		return cmd.explain(err)
	}
	var final *nodeView
	err = watch(ctx, c, cmd.Node, "", cmd.Timeout, func(n *nodeView) (bool, error) {
		final = n
		return n.settled(), nil
	})
	if err != nil {
		return cmd.explain(err)
	}
	if final.LastError != "" {
		return fmt.Errorf("%s", final.LastError)
	}
	fmt.Println(cmd.Node, "is", dash(final.PowerState))
	return nil
}
