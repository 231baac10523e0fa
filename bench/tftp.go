package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The comparison of TFTP servers runs in a network namespace of its own, where
// port 69 is free for each of them in turn.
const (
	tftpChild  = "tftp-child"  // argument by which this program runs there
	tftpServer = "tftp-server" // argument by which it is our server
	tftpEach   = 2 * time.Second
	tftpFile   = 16 << 20
	// tftpRounds is how often the servers take turns at the paced load, of which
	// the median counts: what else the machine does then falls on all of them.
	tftpRounds = 5
	// pacedRate is what a Pi can take, in bytes a second.
	pacedRate = 5_000_000
	// turnaroundTarget is for the time from an acknowledgement to the next block.
	turnaroundTarget = time.Millisecond
)

// tftpResult is what one server did with a number of lock-step clients.
type tftpResult struct {
	Server     string        `json:"server"`
	Clients    int           `json:"clients"`
	Block      int           `json:"block"`
	Paced      bool          `json:"paced"`
	Bytes      int64         `json:"bytes"`
	Took       time.Duration `json:"took"`
	CPU        time.Duration `json:"cpu"` // of the server
	P50        time.Duration `json:"p50"` // from an acknowledgement to the next block
	P99        time.Duration `json:"p99"`
	Resent     int           `json:"resent"`
	OthersBusy float64       `json:"others"`
}

func (r tftpResult) rate() float64 { return float64(r.Bytes) / 1e6 / r.Took.Seconds() }
func (r tftpResult) cpu() float64 {
	return float64(r.CPU.Microseconds()) / 1e3 / (float64(r.Bytes) / 1e6)
}

// tftp compares our TFTP server with others, side by side.
func (b *bench) tftp(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "tftp-")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, tftpChild, dir)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:"+peersPath())
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("comparing TFTP servers in a network namespace: %w", err)
	}
	var results []tftpResult
	if err := json.Unmarshal(out, &results); err != nil {
		return fmt.Errorf("reading what the comparison of TFTP servers found: %w", err)
	}
	b.addTFTP(results)
	return nil
}

// peersPath are the folders into which bench/peers has unpacked other servers.
// Two of them have a program of the same name.
func peersPath() string {
	base := os.Getenv("BENCH_PEERS")
	if base == "" {
		return ""
	}
	var dirs []string
	for _, p := range []string{"tftpd-hpa", "atftpd", "dnsmasq-base"} {
		dirs = append(dirs, filepath.Join(base, p, "usr/sbin"))
	}
	return strings.Join(dirs, ":")
}

// addTFTP makes a row of each number of clients and block size.
func (b *bench) addTFTP(results []tftpResult) {
	type shape struct {
		clients, block int
		paced          bool
	}
	var order []shape
	rows := map[shape][]tftpResult{}
	for _, r := range results {
		s := shape{r.Clients, r.Block, r.Paced}
		if rows[s] == nil {
			order = append(order, s)
		}
		rows[s] = append(rows[s], r)
	}
	for _, s := range order {
		var parts []string
		var ours, dnsmasq *tftpResult
		others := 0.0
		for i := range rows[s] {
			r := &rows[s][i]
			switch r.Server {
			case "caddyshack":
				ours = r
			case "dnsmasq":
				dnsmasq = r
			}
			others = max(others, r.OthersBusy)
			text := fmt.Sprintf("%s %.1f MB/s, %.1f ms CPU/MB", r.Server, r.rate(), r.cpu())
			if r.Server == peerHPA { // a process for each transfer, whose time nobody collects
				text = fmt.Sprintf("%s %.1f MB/s, CPU not known", r.Server, r.rate())
			}
			if s.paced {
				text += fmt.Sprintf(", turnaround median %s, 99 %% within %s", short(r.P50), short(r.P99))
			}
			parts = append(parts, text)
		}
		verdict, target := noTarget, ""
		if ours != nil && dnsmasq != nil {
			target = "CPU/MB ≤ dnsmasq's"
			ok := ours.cpu() <= dnsmasq.cpu()
			if s.paced {
				target += "; 99 % within 1 ms"
				ok = ok && ours.P99 <= turnaroundTarget
			}
			verdict = met(ok)
		}
		what := fmt.Sprintf("TFTP, %d lock-step clients, blocks of %d B", s.clients, s.block)
		if s.clients == 1 {
			what = fmt.Sprintf("TFTP, 1 lock-step client, blocks of %d B", s.block)
		}
		if s.paced {
			what += fmt.Sprintf(", each at most 5 MB/s (median of %d turns)", tftpRounds)
		}
		b.table.add(row{what: what, target: target, seen: strings.Join(parts, "; "), met: verdict, others: others})
	}
}

// tftpPeer is a server under comparison.
type tftpPeer struct {
	name string
	args []string // with DIR in place of the folder that is served
}

const peerHPA = "tftpd-hpa"

func tftpPeers(self string) []tftpPeer {
	return []tftpPeer{
		{"caddyshack", []string{self, tftpServer, "DIR"}},
		{"dnsmasq", []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp", "--tftp-root=DIR",
			"--interface=lo", "--bind-interfaces", "--tftp-max=200", "--user=root", "--pid-file", "--log-facility=-"}},
		{peerHPA, []string{"in.tftpd", "-L", "-4", "-a", ":69", "-u", "root", "-s", "DIR"}},
		{"atftpd", []string{"atftpd", "--daemon", "--no-fork", "--user", "root.root", "--bind-address", "127.0.0.1", "--port", "69", "--maxthread", "200", "DIR"}},
	}
}

// compareTFTP runs in the namespace and prints what it found as JSON.
func compareTFTP(ctx context.Context, dir string) error {
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bringing up lo: %w: %s; the package iproute2 has ip", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := writeTFTPFiles(dir); err != nil {
		return err
	}
	results := []tftpResult{}
	loads := append(fullSpeed(), paced())
	for range tftpRounds {
		for _, p := range tftpPeers(self) {
			if _, err := exec.LookPath(p.args[0]); err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s is not here and left out of the comparison\n", p.args[0])
				continue
			}
			found, err := measureTFTP(ctx, p, dir, loads)
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s is left out of a round of the comparison: %v\n", p.name, err)
				continue
			}
			results = append(results, found...)
		}
		loads = []tftpLoad{paced()}
	}
	return json.NewEncoder(os.Stdout).Encode(medians(results))
}

// tftpLoad is what clients do.
type tftpLoad struct {
	clients, block int
	rate           int // of each, bytes a second at most, 0 = any
}

func paced() tftpLoad { return tftpLoad{tftpClients, tftpBlock, pacedRate} }

func fullSpeed() (loads []tftpLoad) {
	for _, clients := range []int{1, tftpClients} {
		for _, block := range []int{512, 1024, tftpBlock} {
			loads = append(loads, tftpLoad{clients, block, 0})
		}
	}
	return loads
}

// medians keeps, of the results of one server under one load, the one whose CPU
// time per byte is in the middle, with the turnaround that is in the middle.
func medians(results []tftpResult) (kept []tftpResult) {
	type key struct {
		server         string
		clients, block int
		paced          bool
	}
	var order []key
	all := map[key][]tftpResult{}
	for _, r := range results {
		k := key{r.Server, r.Clients, r.Block, r.Paced}
		if all[k] == nil {
			order = append(order, k)
		}
		all[k] = append(all[k], r)
	}
	for _, k := range order {
		slices.SortFunc(all[k], func(a, b tftpResult) int { return cmp.Compare(a.cpu(), b.cpu()) })
		r := all[k][(len(all[k])-1)/2]
		slices.SortFunc(all[k], func(a, b tftpResult) int { return cmp.Compare(a.P99, b.P99) })
		r.P50, r.P99 = all[k][(len(all[k])-1)/2].P50, all[k][(len(all[k])-1)/2].P99
		kept = append(kept, r)
	}
	return kept
}

const (
	// tftpClients is the most clients at once: the Pis of a full chassis.
	tftpClients = 13
	// tftpBlock is the size of block that a Pi asks for.
	tftpBlock = 1468
)

func tftpSerial(n int) string  { return fmt.Sprintf("%08x", n+1) }
func tftpAddress(n int) string { return fmt.Sprintf("127.77.9.%d", n+1) }

// writeTFTPFiles writes each client's kernel, which is the same file.
func writeTFTPFiles(dir string) error {
	file := filepath.Join(dir, "kernel8.img")
	data := make([]byte, tftpFile)
	for i := range data {
		data[i] = byte(i * 7)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil { //nolint:gosec // the servers run as anybody
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	for n := range tftpClients {
		own := filepath.Join(dir, tftpSerial(n))
		if err := errors.Join(os.Mkdir(own, 0o755), os.Link(file, filepath.Join(own, "kernel8.img"))); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// measureTFTP runs one server and all its clients.
func measureTFTP(ctx context.Context, p tftpPeer, dir string, loads []tftpLoad) (results []tftpResult, err error) {
	args := make([]string, len(p.args))
	for i, a := range p.args {
		args[i] = strings.ReplaceAll(a, "DIR", dir)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pid := cmd.Process.Pid
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if err != nil {
			err = fmt.Errorf("%w; it said: %s", err, log.String())
		}
	}()
	if err := awaitTFTP(ctx); err != nil {
		return nil, err
	}
	m := newMachine()
	m.add(pid)
	for _, load := range loads {
		r := tftpResult{Server: p.name, Clients: load.clients, Block: load.block, Paced: load.rate > 0}
		around, err := m.watch()
		if err != nil {
			return nil, err
		}
		before, err := cpuOf(pid)
		if err != nil {
			return nil, err
		}
		if err := r.load(load.rate); err != nil {
			return nil, fmt.Errorf("%d clients, blocks of %d: %w", load.clients, load.block, err)
		}
		after, err := settledCPU(pid)
		if err != nil {
			return nil, err
		}
		r.CPU = after - before
		if r.OthersBusy, err = around.others(); err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// settledCPU waits for the children of a server that makes one for each
// transfer: their time counts once they have ended.
func settledCPU(pid int) (time.Duration, error) {
	time.Sleep(300 * time.Millisecond)
	return cpuOf(pid)
}
