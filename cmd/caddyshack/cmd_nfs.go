package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"golang.org/x/term"
)

type nfsCmd struct {
	Top nfsTopCmd `cmd:"" help:"Show which node asks the embedded NFS server for what, and how long it takes."`
}

type nfsTopCmd struct {
	api
	TokenFile string        `type:"path" help:"The file named by boot.token_file, if the endpoint is a process that serves boots only (its boot.serve)."`
	Interval  time.Duration `default:"2s" help:"Time between two tables."`
	Once      bool          `help:"Print what has happened since the roots were exported, and end."`

	out io.Writer // nil means standard output
}

// Run prints tables until ctx ends.
func (cmd nfsTopCmd) Run(ctx context.Context) error {
	const shortest = 100 * time.Millisecond
	if cmd.Interval < shortest {
		return &configError{fmt.Sprintf("--interval %s: at least %s", cmd.Interval, shortest)}
	}
	erase := ""
	if cmd.out == nil {
		cmd.out = os.Stdout
		if term.IsTerminal(int(os.Stdout.Fd())) && !cmd.Once {
			erase = "\x1b[H\x1b[2J" // to the corner, erase all
		}
	}
	old, err := cmd.sample(ctx)
	if err != nil {
		return err
	}
	names := cmd.names(ctx)
	if cmd.Once {
		return old.print(cmd.out, nil, names)
	}
	tick := time.NewTicker(cmd.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := cmd.sample(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		var table bytes.Buffer
		table.WriteString(erase)
		if err := now.print(&table, old, names); err != nil {
			return err
		}
		if _, err := cmd.out.Write(table.Bytes()); err != nil {
			return err
		}
		old = now
	}
}

// Bounds of one look at the metrics.
const (
	metricsWait = 10 * time.Second
	maxMetrics  = 64 << 20 // bytes
)

func (cmd nfsTopCmd) sample(ctx context.Context) (*nfsSample, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsWait)
	defer cancel()
	base := strings.TrimSuffix(strings.TrimSuffix(cmd.Endpoint, "/"), "/v1")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return nil, &configError{fmt.Sprintf("endpoint %q is not a URL like http://127.0.0.1:6385; set OS_ENDPOINT or --endpoint", cmd.Endpoint)}
	}
	if cmd.TokenFile != "" {
		secret, err := readSecret("--token-file", cmd.TokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	client, err := cmd.httpClient()
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, cmd.explain(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s asks for a secret: name the file of its boot.token_file with --token-file", base)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s instead of its metrics: is it a caddyshack?", base, resp.Status)
	}
	s, err := readNFSSample(io.LimitReader(resp.Body, maxMetrics), time.Now())
	if err == nil && !s.served {
		err = errors.New("the process at " + base + " serves no NFS roots itself: point --endpoint at the one with the role os-server (its boot.serve, with --token-file); with boot.nfs_server = \"kernel\" see nfsstat, with \"ganesha\" its own statistics")
	}
	return s, err
}

// names returns what the nodes are called; it is empty where there is no API
// to tell or it is not ours to ask.
func (cmd nfsTopCmd) names(ctx context.Context) map[string]string {
	out := map[string]string{}
	if cmd.TokenFile != "" {
		return out
	}
	c, err := cmd.client()
	if err != nil {
		return out
	}
	pages, err := nodes.List(c, nodes.ListOpts{Fields: []string{"uuid", "name"}}).AllPages(ctx)
	if err != nil {
		return out
	}
	list, err := nodes.ExtractNodes(pages)
	if err != nil {
		return out
	}
	for _, n := range list {
		out[n.UUID] = n.Name
	}
	return out
}
