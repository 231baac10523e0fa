package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"

	"caddyshack/pxe/hostnfs"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// nfsEmbedded is the NFS server in this program; the others are those of hostnfs.
const nfsEmbedded = "embedded"

// What changes of names and attributes survive once they were acknowledged.
const (
	durablePowerCut = "power-cut"
	durableRestart  = "restart" // of the program, not of the machine
)

// completeNFS fills in what depends on the NFS server.
func (c *Config) completeNFS() {
	b := &c.Boot
	if b.NFSMountPort == 0 {
		b.NFSMountPort = 20048
	}
	switch hostnfs.Kind(b.NFSServer) {
	case hostnfs.Kernel:
		orDefault(&b.NFSExportsFile, "/etc/exports.d/caddyshack.exports")
	case hostnfs.Ganesha:
		orDefault(&b.NFSExportsFile, "/etc/ganesha/caddyshack.conf")
		orDefault(&b.NFSPIDFile, "/run/ganesha/ganesha.pid")
	default:
		return
	}
	orDefault(&b.Tree, "privileged")
}

// plainPath is what stands in files of exports and on kernel command lines
// without quotes.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._-]*$`)

func (c *Config) checkNFS() error {
	switch b := &c.Boot; {
	case b.Durability != durablePowerCut && b.Durability != durableRestart:
		return bad("boot.durability", "%q is not known; use %q or %q", b.Durability, durablePowerCut, durableRestart)
	case b.Durability != durablePowerCut && b.NFSServer != nfsEmbedded:
		return bad("boot.durability", "is for the embedded NFS server; %q has settings of its own", b.NFSServer)
	case b.NFSServer == nfsEmbedded:
		return nil
	case b.NFSServer != string(hostnfs.Kernel) && b.NFSServer != string(hostnfs.Ganesha):
		return bad("boot.nfs_server", "%q is not known; use \"embedded\", \"kernel\" or \"ganesha\"", b.NFSServer)
	case b.Tree != "privileged":
		return bad("boot.tree", "the NFS server %q serves plain files only: set tree = \"privileged\", or nfs_server = \"embedded\"", b.NFSServer)
	case !plainPath.MatchString(c.StateDir):
		return bad("state_dir", "with nfs_server = %q it must be an absolute path of letters, digits and / . _ - (it is %q)", b.NFSServer, c.StateDir)
	}
	_, port, err := net.SplitHostPort(c.Boot.NFSListen)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		return bad("boot.nfs_listen", "must tell the port of the NFS server %q, for example \":2049\" (it is %q)", c.Boot.NFSServer, c.Boot.NFSListen)
	}
	return nil
}

// openNFS opens the server of roots: the embedded one, bound to its address,
// or the way to the host's.
func (d *daemon) openNFS(ctx context.Context, o *osPart, dir string) (roots.Trees, roots.Exports, error) {
	if d.cfg.Boot.NFSServer != nfsEmbedded {
		return d.openHostNFS(o, dir)
	}
	o.nfs = &nfsd.Server{Addr: d.cfg.Boot.NFSListen, StateDir: dir, Logger: d.log.With("part", "nfs"), OnEvent: d.nfsEvent,
		Admit: d.cfg.ownNetworks().Admits}
	if err := o.nfs.Listen(ctx); err != nil {
		return nil, nil, fmt.Errorf("%w; choose another address with boot.nfs_listen", err)
	}
	d.onClose(o.nfs.Close)
	d.metrics.MustRegister(newNFSMetrics(o.nfs.Stats))
	var err error
	if o.nfsAddr, err = netip.ParseAddrPort(o.nfs.BoundAddr().String()); err != nil {
		return nil, nil, fmt.Errorf("reading the NFS server's port: %w", err)
	}
	kinds := map[string]rootfs.Kind{"auto": rootfs.Auto, "privileged": rootfs.Native, "unprivileged": rootfs.Sidecar}
	served := roots.NewNFS(o.nfs, kinds[d.cfg.Boot.Tree])
	served.Unsynced = d.cfg.Boot.Durability == durableRestart
	return served, served, nil
}

func (d *daemon) openHostNFS(o *osPart, dir string) (roots.Trees, roots.Exports, error) {
	kind := hostnfs.Kind(d.cfg.Boot.NFSServer)
	reload := hostnfs.Exportfs
	if kind == hostnfs.Ganesha {
		reload = hostnfs.Hangup(d.cfg.Boot.NFSPIDFile)
	}
	host, portText, err := net.SplitHostPort(d.cfg.Boot.NFSListen)
	if err != nil {
		return nil, nil, fmt.Errorf("reading boot.nfs_listen: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, nil, fmt.Errorf("reading boot.nfs_listen: %w", err)
	}
	addr, err := netip.ParseAddr(cmp.Or(host, d.cfg.Boot.Address))
	if err != nil {
		return nil, nil, fmt.Errorf("reading boot.nfs_listen: %w", err)
	}
	o.nfsAddr = netip.AddrPortFrom(addr, uint16(port))
	o.hostNFS, err = hostnfs.Open(hostnfs.Config{
		Kind: kind, StateFile: filepath.Join(dir, "exports.json"), ExportsFile: d.cfg.Boot.NFSExportsFile, Reload: reload,
		MountAddr: netip.AddrPortFrom(addr, d.cfg.Boot.NFSMountPort), Log: d.log.With("part", "nfs"),
	})
	if err != nil {
		return nil, nil, err
	}
	// Only its trees are used: nothing is served from this process.
	return roots.NewNFS(nil, rootfs.Native), o.hostNFS, nil
}
