package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/remote"
)

func nfsStats(reads uint64) nfsd.Stats {
	return nfsd.Stats{
		Connections: 2, SlowCalls: 1, Replayed: 3, Denied: 4, BadHandles: 1,
		Exports: []nfsd.ExportStats{
			{ID: "busy", BytesRead: reads << 20, Procs: []nfsd.ProcStats{
				{Proc: "READ", Calls: reads, Time: time.Duration(reads) * time.Millisecond},
				{Proc: "LOOKUP", Calls: 10, Errors: 5, Time: time.Millisecond},
			}},
			{ID: "idle"},
		},
	}
}

// serveMetrics offers the metrics of an NFS server; api answers the rest.
func serveMetrics(t *testing.T, stats func() nfsd.Stats, secret string) string {
	t.Helper()
	reg := newMetrics()
	if stats != nil {
		reg.MustRegister(newNFSMetrics(stats))
	}
	h := withMetrics(http.NotFoundHandler(), reg)
	if secret != "" {
		h = remote.Guard(h, secret)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestNFSTopOnce(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s", 32)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serveMetrics(t, func() nfsd.Stats { return nfsStats(100) }, secret)
	var out strings.Builder
	cmd := nfsTopCmd{api: api{Endpoint: url}, TokenFile: token, Interval: time.Second, Once: true, out: &out}
	if err := cmd.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(out.String(), "  ")
	want := "2 nodes, 2 connections, 1 slow calls, 3 repeated, 5 refused since the start\n" +
		"NODE  CALLS  ERRORS  READ MB  WRITE MB  MS/CALL  MOST OF IT\n" +
		"busy  110    5       104.9    0.0       0.92     READ 100, LOOKUP 10\n" +
		"idle  0      0       0.0      0.0       -        -\n"
	if table != want {
		t.Errorf("got\n%s\nwant\n%s", table, want)
	}
	cmd.TokenFile = ""
	if err := cmd.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("without the secret: %v", err)
	}
}

// The second table shows what happened between two looks, per second.
func TestNFSTopRates(t *testing.T) {
	t.Parallel()
	before := &nfsSample{at: time.Unix(100, 0), nodes: map[string]*nfsNode{
		"a":   {procs: map[string]nfsCount{"READ": {calls: 100, seconds: 1}}, read: 1e6},
		"new": {procs: map[string]nfsCount{"WRITE": {calls: 1000}}},
	}}
	now := &nfsSample{at: time.Unix(110, 0), nodes: map[string]*nfsNode{
		"a":   {procs: map[string]nfsCount{"READ": {calls: 200, seconds: 2}, "WRITE": {calls: 10}}, read: 101e6},
		"new": {procs: map[string]nfsCount{"WRITE": {calls: 20, seconds: 0.1}}}, // exported anew
	}}
	var out strings.Builder
	if err := now.print(&out, before, map[string]string{"a": "caddy-1"}); err != nil {
		t.Fatal(err)
	}
	want := "NODE     CALLS/S  ERRORS/S  READ MB/S  WRITE MB/S  MS/CALL  MOST OF IT\n" +
		"caddy-1  11       0         10.0       0.0         9.09     READ 10, WRITE 1\n" +
		"new      2        0         0.0        0.0         5.00     WRITE 2\n"
	if _, table, _ := strings.Cut(out.String(), "\n"); table != want {
		t.Errorf("got\n%s\nwant\n%s", table, want)
	}
}

// lockedBuilder is written to by a command while the test reads it.
type lockedBuilder struct {
	mu     sync.Mutex
	b      strings.Builder
	tables chan struct{}
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.tables <- struct{}{}:
	default:
	}
	return l.b.Write(p)
}

func TestNFSTopRefreshes(t *testing.T) {
	t.Parallel()
	url := serveMetrics(t, func() nfsd.Stats { return nfsStats(100) }, "")
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	out := &lockedBuilder{tables: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- nfsTopCmd{api: api{Endpoint: url}, Interval: shortInterval, out: out}.Run(ctx)
	}()
	for range 2 {
		select {
		case <-out.tables:
		case <-ctx.Done():
			t.Fatal("there was no table")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if s := out.b.String(); strings.Count(s, "CALLS/S") < 2 || strings.Contains(s, "\x1b") {
		t.Errorf("not two plain tables:\n%s", s)
	}
}

const shortInterval = 100 * time.Millisecond

func TestNFSTopWithoutServer(t *testing.T) {
	t.Parallel()
	err := nfsTopCmd{api: api{Endpoint: serveMetrics(t, nil, "")}, Interval: time.Second, Once: true}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "serves no NFS") {
		t.Errorf("got %v", err)
	}
	if got := run(t.Context(), []string{"nfs", "top", "--interval", "1ms"}); got != exitUsage {
		t.Errorf("exit code %d for a bad interval", got)
	}
}
