package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/hostnfs"
	"caddyshack/pxe/images"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/remote"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
)

// osPart is the operating-system server of this process: images, roots, NFS.
type osPart struct {
	service *pxe.LocalOSServer
	trees   *tftpd.Trees     // boot files for TFTP; nil if that is another process
	nfs     *nfsd.Server     // nil if another server serves the roots
	hostNFS *hostnfs.Exports // that server, or nil
	nfsAddr netip.AddrPort   // of the one that serves
	offer   *offer           // of it to a boot service elsewhere, or nil
}

// openOS binds NFS and opens what it serves.
func (d *daemon) openOS(ctx context.Context) error {
	if !d.cfg.has(roleOSServer) {
		return nil
	}
	addr, err := netip.ParseAddr(d.cfg.Boot.Address)
	if err != nil {
		return bad("boot.address", "%q is not an address", d.cfg.Boot.Address)
	}
	o := &osPart{}
	rootsDir := filepath.Join(d.cfg.StateDir, "roots")
	nfsDir := filepath.Join(d.cfg.StateDir, "nfs")
	bootedDir := filepath.Join(d.cfg.StateDir, "booted")
	for _, dir := range []string{rootsDir, nfsDir, bootedDir} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("making the folder %s: %w", dir, err)
		}
	}
	trees, exports, err := d.openNFS(ctx, o, nfsDir)
	if err != nil {
		return err
	}
	o.service = &pxe.LocalOSServer{NFSServer: d.cfg.Boot.NFSServer, Address: addr, NFSPort: o.nfsAddr.Port(), Dir: bootedDir}
	if o.hostNFS != nil {
		o.service.MountPort = d.cfg.Boot.NFSMountPort
	}
	if err := d.openOSOffer(o); err != nil {
		return err
	}
	var files roots.BootFiles
	if d.cfg.has(roleBoot) {
		if o.trees, err = tftpd.NewTrees(rootsDir); err != nil {
			return err
		}
		d.onClose(o.trees.Close)
		files = o.trees
	} else {
		if o.service.Shelf, err = pxe.NewShelf(rootsDir); err != nil {
			return err
		}
		d.onClose(o.service.Shelf.Close)
		files = o.service.Shelf
	}
	o.service.Images, err = images.Open(images.Config{Dir: d.cfg.Images.CacheDir, FileFolders: d.cfg.Images.Folders,
		AllowHosts: d.cfg.Images.AllowHosts, Builtins: d.builtins, Log: d.log.With("part", "images")})
	if err != nil {
		return err
	}
	o.service.Roots, err = roots.Open(roots.Config{Dir: rootsDir, Trees: trees, Exports: exports, BootFiles: files, Log: d.log.With("part", "roots")})
	if err != nil {
		return err
	}
	d.os = o
	return o.service.Restore(ctx)
}

// nfsEvent keeps that a node has mounted its root before the node gets its
// answer, and tells the boot service.
func (d *daemon) nfsEvent(e nfsd.Event) {
	if roots.IsOwnExport(e.ExportID) {
		return
	}
	b, ok := bootlog.FromNFS(e.ExportID, time.Now(), e)
	if !ok {
		return
	}
	if e.Kind == nfsd.EventMount && e.OK {
		if err := d.os.service.Mounted(e.ExportID); err != nil {
			d.log.Error("keeping that a node has mounted its root failed", "node", e.ExportID, "err", err)
		}
	}
	d.os.service.Observed(b)
}

// runOS serves NFS until ctx ends.
func (d *daemon) runOS(ctx context.Context) error {
	var err error
	if d.os.nfs != nil {
		err = d.os.nfs.Serve(ctx)
	} else {
		err = d.os.hostNFS.WatchMounts(ctx, d.os.nfsAddr.Port(), func(nodeID string) {
			d.nfsEvent(nfsd.Event{Kind: nfsd.EventMount, ExportID: nodeID, OK: true})
		})
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// openOSOffer binds the address where a boot service elsewhere reaches this
// operating-system server.
func (d *daemon) openOSOffer(o *osPart) error {
	if d.cfg.OSServer.Listen == "" {
		return nil
	}
	var err error
	o.offer, err = d.openOffer(offerConfig{
		what: "the operating-system server", key: "os_server.listen", listen: d.cfg.OSServer.Listen,
		tokenKey: "os_server.token_file", tokenFile: d.cfg.OSServer.TokenFile, tlsCert: d.cfg.OSServer.TLSCert, tlsKey: d.cfg.OSServer.TLSKey,
		handler: func(secret string) (http.Handler, error) { return remote.OSHandler(o.service, secret) },
	})
	return err
}
