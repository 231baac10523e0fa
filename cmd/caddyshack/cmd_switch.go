package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"caddyshack/drivers/switches"
	"caddyshack/switchapi"
)

type switchCmd struct {
	List   switchListCmd   `cmd:"" help:"List the switches, and the networks of the configuration."`
	Show   switchShowCmd   `cmd:"" help:"Show a switch: its ports, what they carry and what they shall carry."`
	Plan   switchPlanCmd   `cmd:"" help:"Say what apply would change, and touch nothing."`
	Apply  switchApplyCmd  `cmd:"" help:"Make a switch what the database wants."`
	Verify switchVerifyCmd `cmd:"" help:"Compare switches with what the database wants; ends with 1 if one differs."`
}

// switchAPI is the service's API of the switches.
type switchAPI struct {
	api
}

// call asks for a path below switchapi.Prefix and reads the answer.
func (a switchAPI) call(ctx context.Context, post bool, out any, path ...string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	target := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(a.Endpoint, "/"), "/v1"), "/") + switchapi.Prefix + strings.Join(path, "/")
	opts := &gophercloud.RequestOpts{OkCodes: []int{200}}
	get := c.Get
	if post {
		get = func(ctx context.Context, url string, out any, opts *gophercloud.RequestOpts) (_ *http.Response, err error) {
			return c.Post(ctx, url, nil, out, opts)
		}
	}
	resp, err := get(ctx, target, out, opts)
	if gophercloud.ResponseCodeIs(err, 404) && !strings.Contains(a.explain(err).Error(), "switch") {
		return errors.New("this service has no switches: its configuration has no [[switches]] block, or it is another Ironic")
	}
	if err != nil {
		return a.explain(err)
	}
	return resp.Body.Close()
}

// names are the switches that a command is about: the one given, or all.
func (a switchAPI) names(ctx context.Context, given string) ([]string, error) {
	if given != "" {
		return []string{given}, nil
	}
	list, err := a.list(ctx)
	var all []string
	for _, s := range list {
		all = append(all, s.ID)
	}
	return all, err
}

func (a switchAPI) list(ctx context.Context) ([]switchapi.Summary, error) {
	var body struct {
		Switches []switchapi.Summary `json:"switches"`
	}
	err := a.call(ctx, false, &body, "switches")
	return body.Switches, err
}

type switchListCmd struct {
	switchAPI
}

// Run lists the switches and networks.
func (cmd switchListCmd) Run(ctx context.Context) error {
	list, err := cmd.list(ctx)
	if err != nil {
		return err
	}
	var body struct {
		Networks []switchapi.Network `json:"networks"`
	}
	if err := cmd.call(ctx, false, &body, "networks"); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SWITCH\tID\tKIND\tPORTS\tUSED\tDIFFERENT\tNOTE")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", s.Name, s.ID, dash(s.Kind), s.Ports, s.Used, s.Differences, cut(s.Error, 120))
	}
	fmt.Fprintln(w, "\nNETWORK\tVLAN\tADDRESS\tFOR")
	for _, n := range body.Networks {
		purposes := "tenants"
		if len(n.Purposes) > 0 {
			purposes = strings.Trim(fmt.Sprint(n.Purposes), "[]")
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", n.Name, n.VLAN, dash(n.Address), purposes)
	}
	return w.Flush()
}

type switchShowCmd struct {
	switchAPI
	Switch string `arg:"" help:"Name or id."`
}

// Run shows one switch.
func (cmd switchShowCmd) Run(ctx context.Context) error {
	var d switchapi.Detail
	if err := cmd.call(ctx, false, &d, "switches", cmd.Switch); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, row := range [][2]string{
		{"name", d.Name}, {"id", d.ID}, {"kind", strings.TrimSpace(d.Kind + " " + d.Model)}, {"uplinks", strings.Join(d.Uplinks, ", ")},
		{"management", strings.Join(d.Management, ", ")}, {"allowed VLANs", d.Allowed}, {"idle VLAN", fmt.Sprint(d.IdleVLAN)}, {"error", d.Error},
	} {
		if row[1] != "" && row[1] != "0" {
			fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
	}
	if d.Drift != nil {
		fmt.Fprintf(w, "drift\t%s\n", driftWords(d.Drift))
	}
	if d.Capabilities.LeaksAtPowerUp {
		fmt.Fprintln(w, "warning\tbetween power-up and the first write all its ports reach each other")
	}
	fmt.Fprintln(w, "\nPORT\tLINK\tHAS\tWANTED")
	for _, p := range d.PortList {
		link, want := "down", p.Want
		if p.Link {
			link = "up"
		}
		if p.Protected {
			want = "never touched"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, link, p.Has, dash(want))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	printWords(d.Plan, "")
	return nil
}

// driftWords says how a switch has fared since the service has started.
func driftWords(d *switches.DriftState) string {
	s := fmt.Sprintf("found %d times, repaired %d, failed %d; %d restarts; last look %s", d.Found, d.Repaired, d.Failed, d.Restarts, d.Checked.Format(time.RFC3339))
	if d.Error != "" {
		s += ": " + d.Error
	}
	return s
}

// printWords prints lines after a heading, if there is something.
func printWords(lines []string, none string) {
	if len(lines) == 0 && none != "" {
		fmt.Println(none)
	}
	for _, line := range lines {
		fmt.Println(line)
	}
}

type switchPlanCmd struct {
	switchAPI
	Switch string `arg:"" optional:"" help:"Name or id; default: all."`
}

// Run prints what an apply would change.
func (cmd switchPlanCmd) Run(ctx context.Context) error {
	_, err := cmd.plans(ctx, cmd.Switch)
	return err
}

// plans prints the plan of each switch and counts the ports that differ.
func (a switchAPI) plans(ctx context.Context, given string) (different int, err error) {
	names, err := a.names(ctx, given)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		var p switchapi.Plan
		if err := a.call(ctx, false, &p, "switches", name, "plan"); err != nil {
			return different, err
		}
		printWords(p.Words, fmt.Sprintf("switch %s: nothing to change", p.Switch))
		different += len(p.Differences)
	}
	return different, nil
}

type switchApplyCmd struct {
	switchAPI
	Switch string `arg:"" help:"Name or id."`
}

// Run makes the switch what the database wants, and prints what was changed.
func (cmd switchApplyCmd) Run(ctx context.Context) error {
	var p switchapi.Plan
	if err := cmd.call(ctx, true, &p, "switches", cmd.Switch, "apply"); err != nil {
		return err
	}
	printWords(p.Words, fmt.Sprintf("switch %s: nothing to change", p.Switch))
	fmt.Printf("switch %s is what the database wants\n", p.Switch)
	return nil
}

type switchVerifyCmd struct {
	switchAPI
	Switch string `arg:"" optional:"" help:"Name or id; default: all."`
}

// Run fails if a switch is not what the database wants.
func (cmd switchVerifyCmd) Run(ctx context.Context) error {
	n, err := cmd.plans(ctx, cmd.Switch)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d ports are not what the database wants; `caddyshack switch apply` makes them so", n)
	}
	return err
}
