// Command bench measures the built program from outside, through its sockets
// and /proc, and prints a Markdown table beside the figures of OpenStack
// Ironic. `make bench` runs it; the program to measure is $CADDYSHACK_BIN.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"caddyshack/internal/ganesha"
)

// bench is one run: its settings, what it measures with, and what it saw.
type bench struct {
	program string        // the program to measure
	dir     string        // scratch folder; SQLite's files are in it
	nodes   int           // nodes in the database for the reads
	each    time.Duration // how long a load lasts
	machine *machine
	table   table
	// sections are tables of their own, printed after the first.
	sections []string
}

// part is a group of figures that share a server.
type part struct {
	name, what string
	run        func(*bench, context.Context) error
	unasked    bool // only run when named
}

func parts() []part {
	return []part{
		{name: "start", what: "start to first answer", run: (*bench).start},
		{name: "api", what: "memory, reads and writes of the API with fake-hardware", run: (*bench).api},
		{name: "scale", what: "cost at ten thousand nodes; a thousand clients", run: (*bench).scale},
		{name: "bus", what: "power over bus and simulated backplane", run: (*bench).busPower},
		{name: "broker", what: "the embedded MQTT broker", run: (*bench).broker},
		{name: "nfs", what: "the NFS server beside NFS-Ganesha", run: (*bench).nfs},
		{name: "tftp", what: "the TFTP server beside dnsmasq, tftpd-hpa and atftpd", run: (*bench).tftp},
		{name: "boot", what: "virtual Pis from power-on to prompt", run: (*bench).boots},
		{name: "qemu", what: "Pis in QEMU from power-on to prompt", run: (*bench).guests},
		{name: "deploy", what: "deploys of virtual Pis", run: (*bench).deploys},
		{name: "switches", what: "moves of ports, and drift (in memory)", run: (*bench).switches},
		{name: "cold", what: "first demo with empty caches; downloads modules", run: (*bench).cold, unasked: true},
	}
}

func main() {
	work := run
	if len(os.Args) == 3 { // as a helper of a part
		switch os.Args[1] {
		case tftpChild:
			work = func() error { return compareTFTP(context.Background(), os.Args[2]) }
		case tftpServer:
			work = func() error { return serveTFTP(context.Background(), os.Args[2]) }
		}
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	b := &bench{machine: newMachine()}
	flag.StringVar(&b.program, "bin", os.Getenv("CADDYSHACK_BIN"), "the program to measure; default: $CADDYSHACK_BIN")
	flag.StringVar(&b.dir, "dir", "", "folder for the scratch folder with the databases; default: the temporary folder")
	flag.IntVar(&b.nodes, "nodes", 1000, "nodes in the database; the targets are for 1000")
	flag.DurationVar(&b.each, "each", 3*time.Second, "how long each load of reads lasts")
	only := flag.String("only", "", "measure these parts alone, comma-separated: "+strings.Join(names, ", "))
	cold := flag.Bool("cold", false, "also measure the first demo with empty caches, which downloads all modules")
	flag.Parse()

	chosen, err := choose(*only, *cold)
	if err != nil {
		return err
	}
	if b.nodes < fleetSize+warmSize {
		return fmt.Errorf("-nodes %d: at least %d are needed", b.nodes, fleetSize+warmSize)
	}
	if b.program == "" {
		return fmt.Errorf("name the program with -bin or $CADDYSHACK_BIN; `make bench` does")
	}
	if b.program, err = filepath.Abs(b.program); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "caddyshack-bench-"); err != nil {
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	defer os.RemoveAll(b.dir)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	if ganesha.Inside() {
		return b.nfsSideBySide(ctx)
	}
	about, err := b.machine.describe(b.dir)
	if err != nil {
		return err
	}
	fmt.Println(about)
	var failed []error
	for _, p := range chosen {
		fmt.Fprintf(os.Stderr, "measuring %s: %s\n", p.name, p.what)
		if err := p.run(b, ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Print(b.table.markdown())
	for _, s := range b.sections {
		fmt.Print(s)
	}
	return errors.Join(failed...)
}

func choose(only string, cold bool) ([]part, error) {
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	var chosen []part
	for _, p := range parts() {
		at := slices.Index(wanted, p.name)
		if at >= 0 {
			wanted = slices.Delete(wanted, at, at+1)
		}
		if at >= 0 || only == "" && !p.unasked || p.name == "cold" && cold {
			chosen = append(chosen, p)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("-only: there is no part %q", wanted[0])
	}
	return chosen, nil
}
