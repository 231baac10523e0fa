package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"caddyshack/internal/ganesha"
	"caddyshack/pxe"
	"caddyshack/pxe/hostnfs"
	"caddyshack/pxe/images/demo"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/remote"
	"caddyshack/pxe/roots"
)

//go:embed nfsclient/client.c
var nfsClientSource []byte

// nfsClients is how many clients the servers are measured with: one, and a
// chassis full.
var nfsClients = []int{1, 13}

// nfsDepths are the operations of the client with the number of calls that it
// has under way: a kernel reads ahead and writes behind, and looks names up one
// after the other.
var nfsDepths = []struct {
	name  string
	depth int
}{{"read", 4}, {"write", 4}, {"lookup", 1}, {"create", 1}}

// nfsServer is an NFS server under measurement.
type nfsServer struct {
	name               string
	pid                int
	nfsPort, mountPort uint16
	paths              []string // one for each client
	stop               func() error
}

// nfsFigure is what one operation came to.
type nfsFigure struct {
	calls, bytes uint64
	seconds      float64
	cpu          time.Duration // of the server
	others       float64
}

// nfs measures the embedded NFS server beside NFS-Ganesha, in turn and on the
// same disk, with a client of libnfs. Ganesha needs fixed ports, so that all of
// it happens in namespaces of its own.
func (b *bench) nfs(ctx context.Context) error {
	cmd := ganesha.Command(ctx, "-bin", b.program, "-dir", b.dir, "-each", b.each.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("in namespaces of its own (it needs root, and the packages gcc libnfs-dev nfs-ganesha nfs-ganesha-vfs rpcbind): %w", err)
	}
	b.sections = append(b.sections, string(out))
	return nil
}

// nfsSideBySide is nfs inside of the namespaces; it prints its table.
func (b *bench) nfsSideBySide(ctx context.Context) error {
	leave, err := ganesha.Enter()
	if err != nil {
		return err
	}
	defer leave()
	client, err := b.buildNFSClient(ctx)
	if err != nil {
		return err
	}
	var seen []map[string]nfsFigure
	var memory []int64
	var names []string
	for _, start := range []func(context.Context) (*nfsServer, error){
		func(ctx context.Context) (*nfsServer, error) { return b.embeddedNFS(ctx, "power-cut") },
		func(ctx context.Context) (*nfsServer, error) { return b.embeddedNFS(ctx, "restart") },
		b.ganeshaNFS,
	} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  %s\n", s.name)
		figures, used, err := b.measureNFS(ctx, client, s)
		if err := errors.Join(err, s.stop()); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		seen, memory, names = append(seen, figures), append(memory, used), append(names, s.name)
	}
	fmt.Print(nfsTable(names, seen, memory))
	return nil
}

// buildNFSClient compiles the client.
func (b *bench) buildNFSClient(ctx context.Context) (string, error) {
	source, program := filepath.Join(b.dir, "nfsclient.c"), filepath.Join(b.dir, "nfsclient")
	if err := os.WriteFile(source, nfsClientSource, 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-D_GNU_SOURCE", "-rdynamic", "-o", program, source, "-lnfs", "-ldl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compiling the NFS client (packages gcc and libnfs-dev): %w: %s", err, out)
	}
	return program, nil
}

// nfsSource is the address that the n-th client calls from.
func nfsSource(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, 1, byte(n + 1)}) }

func nfsNode(n int) string { return fmt.Sprintf("11111111-2222-4333-8444-5555555555%02d", n) }

// embeddedNFS starts the program with the role os-server alone, and has it make
// and export a root for each client.
func (b *bench) embeddedNFS(ctx context.Context, durability string) (*nfsServer, error) {
	dir, err := os.MkdirTemp(b.dir, "os-server-")
	if err != nil {
		return nil, err
	}
	image := demo.New(demo.Config{Dir: dir, Go: "/nonexistent"}) // the tiny one
	if err := image.Prepare(ctx); err != nil {
		return nil, err
	}
	tiny, err := image.Image(ctx)
	if err != nil {
		return nil, err
	}
	secret := strings.Repeat("b", 32)
	token, config := filepath.Join(dir, "token"), filepath.Join(dir, "config.toml")
	const offer, nfs = "127.0.0.1:6389", "127.0.0.1:2049" // nobody else is in these namespaces
	text := fmt.Sprintf("state_dir = %q\nroles = [\"os-server\"]\n[boot]\naddress = \"127.0.0.1\"\nnfs_listen = %q\ntree = \"privileged\"\ndurability = %q\n"+
		"[os_server]\nlisten = %q\ntoken_file = %q\n[images]\nfolders = [%q]\n", filepath.Join(dir, "state"), nfs, durability, offer, token, dir)
	if err := errors.Join(os.WriteFile(token, []byte(secret), 0o600), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return nil, err
	}
	p, err := b.run(ctx, dir, "serve", "--config", config)
	if err != nil {
		return nil, err
	}
	s := &nfsServer{name: "embedded, durability=" + durability, pid: p.cmd.Process.Pid, nfsPort: 2049, mountPort: 2049, stop: p.stop}
	api := &remote.OSClient{URL: "http://" + offer, Secret: secret, HTTP: &http.Client{Transport: remote.NewTransport()}}
	img := pxe.ImageSource{URL: "file://" + tiny.Path}
	for n := range nfsClients[len(nfsClients)-1] {
		id := nfsNode(n)
		err := api.CreateRoot(ctx, pxe.RootRequest{NodeID: id, Generation: "1", Hostname: "bench", Image: img})
		if err == nil {
			err = api.Export(ctx, pxe.PublishRequest{NodeID: id, Client: nfsSource(n), MAC: fmt.Sprintf("52:54:00:00:00:%02x", n)})
		}
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.paths = append(s.paths, roots.ExportPath(id))
	}
	return s, nil
}

// ganeshaNFS starts Ganesha with an export for each client, of trees like those
// of the embedded server.
func (b *bench) ganeshaNFS(ctx context.Context) (*nfsServer, error) {
	dir, err := os.MkdirTemp(b.dir, "ganesha-")
	if err != nil {
		return nil, err
	}
	g, err := ganesha.Start(dir)
	if err != nil {
		return nil, err
	}
	b.machine.add(g.PID)
	s := &nfsServer{name: "NFS-Ganesha", pid: g.PID, nfsPort: g.NFSPort, mountPort: g.MountPort, stop: func() error {
		b.machine.remove(g.PID)
		return g.Close()
	}}
	exports, err := hostnfs.Open(hostnfs.Config{Kind: hostnfs.Ganesha, StateFile: filepath.Join(dir, "exports.json"), ExportsFile: g.ExportsFile,
		Reload: hostnfs.Hangup(g.PIDFile), MountAddr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), g.MountPort)})
	for n := 0; err == nil && n < nfsClients[len(nfsClients)-1]; n++ {
		e := roots.Export{NodeID: nfsNode(n), Path: roots.ExportPath(nfsNode(n)), Dir: filepath.Join(dir, "root-"+strconv.Itoa(n)), Client: nfsSource(n)}
		var im *rootfs.Importer
		if im, err = rootfs.Create(e.Dir, rootfs.Native, rootfs.Limits{}); err == nil {
			err = errors.Join(im.Close(), exports.OpenExport(ctx, e))
		}
		s.paths = append(s.paths, e.Path)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// measureNFS runs every operation with each number of clients. The memory is
// that of the server afterwards.
func (b *bench) measureNFS(ctx context.Context, client string, s *nfsServer) (map[string]nfsFigure, int64, error) {
	if _, err := b.nfsCalls(ctx, client, s, "prepare", len(s.paths), 1); err != nil {
		return nil, 0, err
	}
	figures := make(map[string]nfsFigure)
	for _, n := range nfsClients {
		for _, op := range nfsDepths {
			f, err := b.nfsCalls(ctx, client, s, op.name, n, op.depth)
			if err != nil {
				return nil, 0, fmt.Errorf("%s by %d clients: %w", op.name, n, err)
			}
			figures[nfsKey(op.name, n)] = f
		}
	}
	used, err := residentOf(s.pid)
	return figures, used, err
}

func nfsKey(op string, clients int) string { return fmt.Sprintf("%s by %d", op, clients) }

// nfsCalls has n clients make the same calls at the same time.
func (b *bench) nfsCalls(ctx context.Context, client string, s *nfsServer, op string, n, depth int) (nfsFigure, error) {
	before, err := cpuOf(s.pid)
	if err != nil {
		return nfsFigure{}, err
	}
	var f nfsFigure
	around, err := b.machine.watch()
	if err != nil {
		return nfsFigure{}, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failures []error
	for i := range n {
		wg.Go(func() {
			one, err := nfsClient(ctx, client, s, i, op, b.each, depth)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
			}
			f.calls, f.bytes, f.seconds = f.calls+one.calls, f.bytes+one.bytes, max(f.seconds, one.seconds)
		})
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return f, err
	}
	after, err := cpuOf(s.pid)
	if err != nil {
		return f, err
	}
	f.cpu = after - before
	f.others, err = around.others()
	return f, err
}

func nfsClient(ctx context.Context, client string, s *nfsServer, i int, op string, d time.Duration, depth int) (f nfsFigure, err error) {
	cmd := exec.CommandContext(ctx, client, "127.0.0.1", fmt.Sprint(s.nfsPort), fmt.Sprint(s.mountPort), s.paths[i], nfsSource(i).String(),
		op, fmt.Sprint(d.Seconds()), fmt.Sprint(depth))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("client %d: %w", i, err)
	}
	if _, err := fmt.Sscan(string(out), &f.calls, &f.bytes, &f.seconds); err != nil {
		return f, fmt.Errorf("client %d printed %q: %w", i, out, err)
	}
	return f, nil
}

// rate is what people compare: MB/s of data, calls a second of names.
func (f nfsFigure) rate() float64 {
	if f.bytes > 0 {
		return float64(f.bytes) / 1e6 / f.seconds
	}
	return float64(f.calls) / f.seconds
}

func (f nfsFigure) String() string {
	unit := "/s"
	if f.bytes > 0 {
		unit = " MB/s"
	}
	s := fmt.Sprintf("%.0f%s, %s CPU a call", f.rate(), unit, short(f.cpu/time.Duration(max(f.calls, 1))))
	if f.others > busyShare {
		s += fmt.Sprintf(" († %.0f %%)", 100*f.others)
	}
	return s
}

// readGoal is what 13 clients together are to read, in MB/s.
const readGoal = 400

// nfsTable writes what was seen; the goals are for the first server, beside the last.
func nfsTable(names []string, seen []map[string]nfsFigure, memory []int64) string {
	ours, theirs := seen[0], seen[len(seen)-1]
	var b strings.Builder
	fmt.Fprintf(&b, "\n| NFS, libnfs client | %s | goal met? |\n|---%s|---|\n", strings.Join(names, " | "), strings.Repeat("|---", len(names)))
	for _, op := range nfsDepths {
		for _, n := range nfsClients {
			key := nfsKey(op.name, n)
			goal := noTarget
			switch {
			case op.name == "read" && n > 1:
				goal = met(ours[key].rate() >= readGoal)
			case op.name == "lookup" || op.name == "create":
				goal = met(ours[key].rate() >= theirs[key].rate())
			}
			fmt.Fprintf(&b, "| %s, %d %s |", nfsWhat(op.name, op.depth), n, map[bool]string{true: "client", false: "clients"}[n == 1])
			for _, s := range seen {
				fmt.Fprintf(&b, " %s |", s[key])
			}
			fmt.Fprintf(&b, " %s |\n", goal)
		}
	}
	b.WriteString("| memory (RSS) afterwards |")
	for _, m := range memory {
		fmt.Fprintf(&b, " %d MiB |", m>>20)
	}
	fmt.Fprintf(&b, " %s |\n", met(memory[0] < memory[len(memory)-1]))
	return b.String()
}

func nfsWhat(op string, depth int) string {
	switch op {
	case "read", "write":
		return fmt.Sprintf("%s, 1 MiB a call, %d calls under way", op, depth)
	}
	return op
}
