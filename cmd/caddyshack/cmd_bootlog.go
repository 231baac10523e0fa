package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"caddyshack/drivers/console"
	"caddyshack/pxe/bootlog"
)

type bootLogCmd struct {
	api
	Node   string `arg:"" help:"Name or uuid."`
	All    bool   `short:"a" help:"Show all remembered boots, not the latest alone."`
	Follow bool   `short:"f" help:"Go on with what is seen from now on, until Ctrl-C."`
}

// Run shows what the node was seen doing while it booted.
func (cmd bootLogCmd) Run(ctx context.Context) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	if cmd.Follow {
		return cmd.follow(ctx, c)
	}
	var body struct {
		Boots []bootlog.Boot `json:"boots"`
	}
	resp, err := c.Get(ctx, cmd.url(c), &body, nil)
	if err != nil {
		return cmd.explain(err)
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	return cmd.print(body.Boots)
}

func (cmd bootLogCmd) url(c *gophercloud.ServiceClient) string {
	return c.ServiceURL("nodes", url.PathEscape(cmd.Node), "boot_log")
}

func (cmd bootLogCmd) print(boots []bootlog.Boot) error {
	if len(boots) == 0 {
		fmt.Println("Nothing was seen of this node since the service was started.")
		return nil
	}
	if !cmd.All {
		boots = boots[:1]
	}
	for i := len(boots) - 1; i >= 0; i-- {
		if err := printBoot(os.Stdout, &boots[i]); err != nil {
			return err
		}
	}
	return nil
}

// printBoot prints one boot as a table.
func printBoot(w io.Writer, b *bootlog.Boot) error {
	how := "power came on"
	if !b.Powered {
		how = "first seen"
	}
	if b.Attempt > 1 {
		how += fmt.Sprintf(", attempt %d", b.Attempt)
	}
	fmt.Fprintf(w, "%s  %s\n", b.Start.Local().Format(time.DateTime), how)
	t := tabwriter.NewWriter(inertly(w), 0, 4, 2, ' ', 0)
	for _, e := range b.Entries {
		fmt.Fprintf(t, "  %8.3f s\t%s\n", e.Time.Sub(b.Start).Seconds(), signText(e.Event, e.Count))
	}
	return t.Flush()
}

// inertly keeps what machines send from being read as commands by the terminal.
func inertly(w io.Writer) io.Writer { return console.Inert(w) }

// signText is a line of a boot log.
func signText(e bootlog.Event, count int) string {
	parts := []string{string(e.Stage)}
	for _, s := range []string{e.Name, string(e.Outcome)} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch {
	case e.Size > 0 && e.Offset < e.Size:
		parts = append(parts, fmt.Sprintf("%d of %d bytes", e.Offset, e.Size))
	case e.Size > 0:
		parts = append(parts, fmt.Sprintf("%d bytes", e.Size))
	}
	if e.Outcome == bootlog.Done && e.Duration > 0 {
		parts = append(parts, fmt.Sprintf("in %s", e.Duration.Round(time.Millisecond)))
	}
	if e.Resent > 0 {
		parts = append(parts, fmt.Sprintf("%d blocks sent again", e.Resent))
	}
	if e.Detail != "" {
		parts = append(parts, "("+e.Detail+")")
	}
	if count > 1 {
		parts = append(parts, fmt.Sprintf("×%d", count))
	}
	return strings.Join(parts, "\t")
}

// follow reads server-sent events until the context ends.
func (cmd bootLogCmd) follow(ctx context.Context, c *gophercloud.ServiceClient) error {
	c.HTTPClient.Timeout = 0 // it has no end
	resp, err := c.Request(ctx, http.MethodGet, cmd.url(c), &gophercloud.RequestOpts{
		MoreHeaders: map[string]string{"Accept": "text/event-stream"}, OkCodes: []int{http.StatusOK}, KeepResponseBody: true})
	if err != nil {
		return cmd.explain(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	event := ""
	for {
		line, err := in.ReadString('\n')
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("the service at %s ended the boot log; run the command again", cmd.Endpoint)
		}
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if err := cmd.shown(event, []byte(data)); err != nil {
			return err
		}
	}
}

func (cmd bootLogCmd) shown(event string, data []byte) error {
	switch event {
	case "boots":
		var boots []bootlog.Boot
		if err := json.Unmarshal(data, &boots); err != nil {
			return fmt.Errorf("reading the boot log: %w", err)
		}
		return cmd.print(boots)
	case "sign":
		var u bootlog.Update
		if err := json.Unmarshal(data, &u); err != nil {
			return fmt.Errorf("reading the boot log: %w", err)
		}
		if u.Missed > 0 {
			fmt.Printf("  … %d signs were left out\n", u.Missed)
		}
		_, err := fmt.Fprintf(inertly(os.Stdout), "%s  %s\n", u.Time.Local().Format("15:04:05.000"), strings.ReplaceAll(signText(u.Event, 1), "\t", "  "))
		return err
	}
	return nil
}
