package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/remote"
	"caddyshack/pxe/tftpd"
)

// bootPart is the boot service of this process with its TFTP server.
type bootPart struct {
	service *pxe.Service
	tftp    []*tftpd.Server // one for each address, the usual one first
	log     *bootlog.Log
	home    phoneHome
	// countTFTP counts requests.
	countTFTP func(tftpd.Event)
}

// openBoot binds TFTP and opens what it serves; the roots are those of this
// process or of another.
func (d *daemon) openBoot(ctx context.Context) error {
	if !d.cfg.has(roleBoot) {
		return nil
	}
	tokensDir := filepath.Join(d.cfg.StateDir, "tokens")
	for _, dir := range []string{filepath.Join(d.cfg.StateDir, "booted"), tokensDir} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("making the folder %s: %w", dir, err)
		}
	}
	b := &bootPart{log: bootlog.New(bootlog.Config{Deadlines: d.cfg.Boot.Watchdog.deadlines(), HearsDHCP: d.cfg.DHCP.hears()}), countTFTP: newTFTPMetrics(d.metrics)}
	d.metrics.MustRegister(newBootLogMetrics(b.log))
	b.service = &pxe.Service{Log: b.log, OnMount: func(nodeID string) { go d.wake(nodeID) },
		Dir: filepath.Join(d.cfg.StateDir, "booted"), Logger: d.log.With("part", "boot")}
	trees, err := d.openBootFiles(b.service)
	if err != nil {
		return err
	}
	addresses, err := d.openAddresses()
	if err != nil {
		return err
	}
	addresses.OnNotice(d.machinesDue)
	b.service.Addresses = addresses
	if b.service.Own, err = d.openOwnAddresses(); err != nil {
		return err
	}
	bootcode, err := d.cfg.Boot.bootcode()
	if err != nil {
		return err
	}
	finder := &pxe.Finder{Trees: trees, Service: b.service, Astray: d.isAstray, Bootcode: bootcode, Log: d.log.With("part", "tftp")}
	if err := d.openTFTP(ctx, b, finder); err != nil {
		return err
	}
	if err := d.openPhoneHome(b, tokensDir); err != nil {
		return err
	}
	d.boot = b
	d.metrics.MustRegister(newOSLinkMetrics(b.service.Link)...)
	return nil
}

// bootcodes are where Raspberry Pi OS and Debian's package raspi-firmware have
// the boot loader of a Pi 3.
func bootcodes() []string {
	return []string{"/boot/firmware/bootcode.bin", "/usr/lib/raspi-firmware/bootcode.bin"}
}

// mostBootcode is more, in bytes, than a boot loader of a Pi 3 can have: it runs
// in the cache of the GPU.
const mostBootcode = 128 << 10

// bootcode reads the boot loader for Pi 3s that are not known; nil if there is none.
func (b *BootConfig) bootcode() ([]byte, error) {
	if b.Bootcode != "" {
		text, err := os.ReadFile(b.Bootcode)
		if err == nil && (len(text) == 0 || len(text) > mostBootcode) {
			err = fmt.Errorf("it has %d bytes", len(text))
		}
		if err != nil {
			return nil, bad("boot.bootcode", "%s is not the boot loader of a Pi 3 (%v): name a bootcode.bin, as Raspberry Pi OS has it in /boot/firmware, or leave the key out", b.Bootcode, err)
		}
		return text, nil
	}
	for _, name := range bootcodes() {
		if text, err := os.ReadFile(name); err == nil && len(text) > 0 && len(text) <= mostBootcode {
			return text, nil
		}
	}
	return nil, nil
}

// openTFTP binds TFTP. With networks of their own there is a socket for each
// address, which answers from that address and serves that network alone.
func (d *daemon) openTFTP(ctx context.Context, b *bootPart, finder *pxe.Finder) error {
	own := d.cfg.ownNetworks()
	listens := []string{d.cfg.Boot.TFTPListen}
	if len(own) > 0 {
		_, port, err := net.SplitHostPort(d.cfg.Boot.TFTPListen)
		if err != nil {
			return fmt.Errorf("reading boot.tftp_listen: %w", err)
		}
		listens = []string{net.JoinHostPort(d.cfg.Boot.Address, port)}
		for _, p := range own {
			if p.Addr().String() != d.cfg.Boot.Address {
				listens = append(listens, net.JoinHostPort(p.Addr().String(), port))
			}
		}
	}
	for _, listen := range listens {
		var source tftpd.Source = finder
		if len(own) > 0 {
			at, err := netip.ParseAddrPort(listen)
			if err != nil {
				return bad("boot.tftp_listen", "%q is not HOST:PORT with a port number", d.cfg.Boot.TFTPListen)
			}
			there := *finder
			there.Addresses = b.service.Own[at.Addr()]
			source = pxe.Scope{Source: &there, Networks: own, Local: at.Addr()}
		}
		server, err := tftpd.Listen(ctx, tftpd.Config{Addr: listen, Source: source, OnEvent: d.tftpEvent, Log: d.log.With("part", "tftp")})
		if err != nil {
			return fmt.Errorf("%w; choose another address with boot.tftp_listen, or correct that of the network", err)
		}
		b.tftp = append(b.tftp, server)
		d.onClose(func() error {
			if err := server.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return nil
}

// openBootFiles gives the boot service its operating-system server and returns
// what TFTP serves.
func (d *daemon) openBootFiles(s *pxe.Service) (*tftpd.Trees, error) {
	if d.os != nil {
		s.OS = d.os.service
		return d.os.trees, nil
	}
	client, err := d.osClient()
	if err != nil {
		return nil, err
	}
	s.OS = client
	dir := filepath.Join(d.cfg.StateDir, "bootfiles")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the folder %s: %w", dir, err)
	}
	trees, err := tftpd.NewTrees(dir)
	if err != nil {
		return nil, err
	}
	d.onClose(trees.Close)
	s.Copies, err = pxe.OpenCopies(dir, trees, d.log.With("part", "boot"))
	return trees, err
}

// osClient is the way to the operating-system server of another process.
func (d *daemon) osClient() (*remote.OSClient, error) {
	c := d.cfg.OSServer
	secret, err := readSecret("os_server.token_file", c.TokenFile)
	if err != nil {
		return nil, err
	}
	transport := remote.NewTransport()
	if c.CAFile != "" {
		if transport.TLSClientConfig, err = trusting(c.CAFile); err != nil {
			return nil, bad("os_server.ca_file", "%v", err)
		}
	}
	return &remote.OSClient{URL: c.URL, Secret: secret, HTTP: &http.Client{Transport: transport}}, nil
}

// trusting is a TLS configuration that believes the certificates of a file
// besides those of the system's authorities.
func trusting(caFile string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// tftpEvent enters a request into the boot log.
func (d *daemon) tftpEvent(e tftpd.Event) {
	d.boot.countTFTP(e)
	if b, ok := bootlog.FromTFTP(e); ok {
		d.boot.log.Record(b)
	}
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

// runBoot serves TFTP and follows the operating-system server until ctx ends.
func (d *daemon) runBoot(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range d.boot.tftp {
		g.Go(func() error { return s.Serve(gctx) })
	}
	g.Go(func() error { return d.boot.home.serve(gctx) })
	g.Go(func() error {
		d.boot.service.Follow(gctx)
		return nil
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
