// Command caddyshack runs a chassis of Raspberry Pis like a cloud: it speaks
// the OpenStack Ironic API and does all that is behind it, in one program.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Demo    demoCmd    `cmd:"" help:"Run everything with a simulated chassis, on loopback; needs no configuration."`
	Serve   serveCmd   `cmd:"" help:"Run with a configuration file."`
	Sim     simCmd     `cmd:"" help:"Run a simulated chassis against a broker."`
	Config  configCmd  `cmd:"" help:"Print an example configuration, or check one."`
	Version versionCmd `cmd:"" help:"Print the version."`

	Unit unitCmd `cmd:"" help:"Set up a backplane unit over its USB cable, or update the units' firmware."`

	PrepareCard prepareCardCmd `cmd:"" help:"Make the SD card image that a Pi needs once before it boots from the network."`

	Nodes    nodesCmd    `cmd:"" group:"client" help:"List the nodes."`
	Show     showCmd     `cmd:"" group:"client" help:"Show a node: its states, what it waits for, its history."`
	BootLog  bootLogCmd  `cmd:"" group:"client" help:"Show what a node was seen doing while it booted; -f goes on live."`
	Adopt    adoptCmd    `cmd:"" group:"client" help:"Find out which Pi sits in which slot: one slot at a time is switched on."`
	Power    powerCmd    `cmd:"" group:"client" help:"Switch a node on or off, or reboot it."`
	Deploy   deployCmd   `cmd:"" group:"client" help:"Bring a node to active with an image, whatever state it is in."`
	Undeploy undeployCmd `cmd:"" group:"client" help:"Take a node's system away; it becomes available again."`
	NFS      nfsCmd      `cmd:"" name:"nfs" group:"client" help:"Watch the nodes' NFS roots."`
	Switch   switchCmd   `cmd:"" group:"client" help:"Look at the switches, and make them what the database wants."`
	DHCP     dhcpCmd     `cmd:"" name:"dhcp" group:"client" help:"The addresses kept for the nodes; what dnsmasq needs to serve them."`
	Console  consoleCmd  `cmd:"" group:"client" help:"Open a node's serial console in this terminal."`
}

// exit codes: 1 = it failed, 2 = flags or configuration are wrong.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run parses the arguments and runs the command; it returns the exit code.
func run(ctx context.Context, args []string) int {
	var cmds commands
	parser, err := kong.New(&cmds,
		kong.Name("caddyshack"),
		kong.Description("Raspberry Pis run like a cloud: the OpenStack Ironic API and all behind it, in one program."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups([]kong.Group{{Key: "client", Title: "Commands that talk to a running caddyshack (or any Ironic):"}}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "caddyshack:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "caddyshack: %v; see `caddyshack --help`\n", err)
		return exitUsage
	}
	if err := kctx.Run(); err != nil {
		if said := err.Error(); ctx.Err() != nil && (strings.Contains(said, context.Canceled.Error()) || strings.Contains(said, context.Cause(ctx).Error())) {
			return exitOfSignal(kctx, context.Cause(ctx)) // not every library wraps the reason
		}
		fmt.Fprintln(os.Stderr, "caddyshack:", printable(err.Error())) // it may hold what a machine or another person wrote
		var usage *configError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// exitOfSignal is 0 for a service, which was asked to stop while it was still
// starting. A command that broke off did not do its work: it ends as shells
// say it, with 128 and the signal's number.
func exitOfSignal(kctx *kong.Context, cause error) int {
	switch kctx.Selected().Name {
	case "demo", "serve", "sim":
		return 0
	}
	sig := syscall.SIGINT
	if strings.HasPrefix(cause.Error(), syscall.SIGTERM.String()) {
		sig = syscall.SIGTERM
	}
	return 128 + int(sig)
}

type versionCmd struct{}

// Run prints what the build knows of itself.
func (versionCmd) Run() error {
	fmt.Println("caddyshack", version())
	return nil
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
