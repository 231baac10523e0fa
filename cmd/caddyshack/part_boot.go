package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/hostnfs"
	"caddyshack/pxe/images"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
)

// bootPart is the boot service of this process with its servers.
type bootPart struct {
	service *pxe.Service
	trees   *tftpd.Trees
	tftp    *tftpd.Server
	nfs     *nfsd.Server     // nil if another server serves the roots
	hostNFS *hostnfs.Exports // that server, or nil
	nfsAddr netip.AddrPort   // of the one that serves
	roots   *roots.Manager
	log     *bootlog.Log
	home    phoneHome
}

// openBoot binds TFTP and NFS and opens what they serve.
func (d *daemon) openBoot(ctx context.Context) error {
	if !d.cfg.has(roleBoot) {
		return nil
	}
	addr, err := netip.ParseAddr(d.cfg.Boot.Address)
	if err != nil {
		return bad("boot.address", "%q is not an address", d.cfg.Boot.Address)
	}
	b := &bootPart{log: bootlog.New(bootlog.Config{})}
	rootsDir := filepath.Join(d.cfg.StateDir, "roots")
	nfsDir := filepath.Join(d.cfg.StateDir, "nfs")
	bootedDir := filepath.Join(d.cfg.StateDir, "booted")
	tokensDir := filepath.Join(d.cfg.StateDir, "tokens")
	for _, dir := range []string{rootsDir, nfsDir, bootedDir, tokensDir} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("making the folder %s: %w", dir, err)
		}
	}
	trees, exports, err := d.openNFS(ctx, b, nfsDir)
	if err != nil {
		return err
	}
	if b.trees, err = tftpd.NewTrees(rootsDir); err != nil {
		return err
	}
	d.onClose(b.trees.Close)
	b.tftp, err = tftpd.Listen(ctx, tftpd.Config{Addr: d.cfg.Boot.TFTPListen, Source: b.trees,
		OnEvent: d.tftpEvent, Log: d.log.With("part", "tftp")})
	if err != nil {
		return fmt.Errorf("%w; choose another address with boot.tftp_listen", err)
	}
	d.onClose(func() error {
		if err := b.tftp.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	store, err := images.Open(images.Config{Dir: d.cfg.Images.CacheDir, FileFolders: d.cfg.Images.Folders,
		AllowHosts: d.cfg.Images.AllowHosts, Builtins: d.builtins, Log: d.log.With("part", "images")})
	if err != nil {
		return err
	}
	b.roots, err = roots.Open(roots.Config{Dir: rootsDir, Trees: trees, Exports: exports, BootFiles: b.trees, Log: d.log.With("part", "roots")})
	if err != nil {
		return err
	}
	b.service = &pxe.Service{Images: store, Roots: b.roots, Log: b.log, Address: addr, NFSPort: b.nfsAddr.Port(), Dir: bootedDir}
	if b.hostNFS != nil {
		b.service.MountPort = d.cfg.Boot.NFSMountPort
	}
	if err := d.openPhoneHome(b, tokensDir); err != nil {
		return err
	}
	d.boot = b
	return b.service.Restore(ctx)
}

// tftpEvent enters a request into the boot log.
func (d *daemon) tftpEvent(e tftpd.Event) {
	if b, ok := bootlog.FromTFTP(e); ok {
		d.boot.log.Record(b)
	}
}

// nfsEvent enters a mount into the boot log, and tells the conductor that the
// node it may wait for is there.
func (d *daemon) nfsEvent(e nfsd.Event) {
	b, ok := bootlog.FromNFS(e.ExportID, time.Now(), e)
	if !ok {
		return
	}
	d.boot.log.Record(b)
	if e.Kind != nfsd.EventMount || !e.OK {
		return
	}
	if err := d.boot.service.Seen(context.Background(), e.ExportID, pxe.SignMounted); err != nil {
		d.log.Error("keeping that a node has mounted its root failed", "node", e.ExportID, "err", err)
	}
	go d.wake(e.ExportID)
}

// wake makes the conductor look at a node that has given a sign.
func (d *daemon) wake(nodeID string) {
	if d.conductor == nil {
		return // its conductor asks by itself
	}
	ctx, cancel := context.WithTimeout(context.Background(), wakeTimeout)
	defer cancel()
	if err := d.conductor.Wake(ctx, nodeID); err != nil {
		d.log.Warn("waking a node that has booted failed; it is looked at again by itself", "node", nodeID, "err", err)
	}
}

const wakeTimeout = 10 * time.Second

// runBoot serves TFTP and NFS until ctx ends.
func (d *daemon) runBoot(ctx context.Context) error {
	b := d.boot
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.tftp.Serve(gctx) })
	g.Go(func() error { return b.home.serve(gctx) })
	if b.nfs != nil {
		g.Go(func() error { return b.nfs.Serve(gctx) })
	} else {
		g.Go(func() error {
			return b.hostNFS.WatchMounts(gctx, b.nfsAddr.Port(), func(nodeID string) {
				d.nfsEvent(nfsd.Event{Kind: nfsd.EventMount, ExportID: nodeID, OK: true})
			})
		})
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
