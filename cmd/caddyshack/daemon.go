package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"caddyshack/bus"
	"caddyshack/conductor"
	"caddyshack/drivers/backplane"
	"caddyshack/drivers/console"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/ironicapi"
	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/images"
	"caddyshack/store"
	"caddyshack/switchapi"
)

// daemon is the whole program between its configuration and its end: open
// binds every socket, run serves until its context ends, close releases what
// open took. `serve` and `demo` and the tests use the same one.
type daemon struct {
	cfg *Config
	log *slog.Logger
	// builtins are images that the program provides itself.
	builtins map[string]images.Builtin
	// wrapStore lets a test come between the conductor and its store; nil = nothing does.
	wrapStore func(conductor.Store) conductor.Store

	// apart is asked about each socket that is not for nodes before it is bound;
	// nil = there are no networks of nodes to keep away from it.
	apart func(network, address string, c syscall.RawConn) error

	metrics   *prometheus.Registry
	store     *store.Store
	broker    *bus.Broker
	brokerURL string
	// enrolAfter is closed when plugged caddies may become nodes; nil = at once.
	enrolAfter chan struct{}
	// strays are machines that ask from somewhere else than their slots.
	strays chan astray
	// working is closed once the conductor takes what the bus reports.
	working chan struct{}
	// controller is how this process joins the bus, and fleet what it sees there.
	controller backplane.Config
	fleet      *backplane.Fleet
	leaveBus   func()
	os         *osPart
	boot       *bootPart
	dhcp       []*dhcpd.Server
	dhcpEvents *prometheus.CounterVec
	// service is the boot service that the conductor uses, and due tells that
	// its machines are to be looked through.
	service   bootService
	due       chan struct{}
	offer     *offer // of the boot service, to conductors elsewhere
	consoles  *console.Service
	networks  *networks.Driver // nil = no switch is configured
	drift     *switches.Drift  // with networks
	conductor *conductor.Conductor
	listener  net.Listener
	auth      ironicapi.Authenticator // nil = noauth
	cert      *certificate            // nil = no TLS
	server    *http.Server
	closers   []func() error
}

// ready is what the ready file tells; its keys are fixed.
type ready struct {
	API  string `json:"api"`
	MQTT string `json:"mqtt"`
	TFTP string `json:"tftp"`
	NFS  string `json:"nfs"`
	DHCP string `json:"dhcp,omitempty"` // where simulated Pis ask
	PID  int    `json:"pid"`
}

// open binds all sockets and opens the store; on an error everything taken so
// far has been released.
func (d *daemon) open(ctx context.Context) error {
	d.metrics, d.working, d.due = newMetrics(), make(chan struct{}), make(chan struct{}, 1)
	d.strays = make(chan astray, 16)
	d.dhcpEvents = newDHCPMetrics(d.metrics)
	for _, part := range []func(context.Context) error{
		d.openState, d.openApart, d.openCertificate, d.openAPIListener, d.openBroker, d.openOS, d.openBoot, d.openDHCP, d.openBootOffer, d.openConsoles, d.openFleet, d.openNetworks,
		d.openConductor, d.openAPI,
	} {
		if err := part(ctx); err != nil {
			return errors.Join(err, d.close())
		}
	}
	return nil
}

// onClose registers what close does, last one first.
func (d *daemon) onClose(f func() error) { d.closers = append(d.closers, f) }

func (d *daemon) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// closeLogged is close at the end of a program, which has nobody to tell.
func (d *daemon) closeLogged() {
	if err := d.close(); err != nil {
		d.log.Warn("closing", "err", err)
	}
}

// openState makes the state folder and opens the database.
func (d *daemon) openState(ctx context.Context) error {
	if err := os.MkdirAll(d.cfg.StateDir, 0o750); err != nil {
		return fmt.Errorf("making the state folder %s: %w; choose another state_dir or give this user the right to write there", d.cfg.StateDir, err)
	}
	if !d.cfg.has(roleAPI) && !d.cfg.has(roleConductor) {
		return nil // the other roles keep no rows
	}
	cfg := store.Config{Logger: d.log.With("part", "store")}
	if d.cfg.Database.URL != "" {
		cfg.PostgresURL = d.cfg.Database.URL
	} else {
		cfg.Path = filepath.Join(d.cfg.StateDir, "caddyshack.db")
		cfg.Synchronous = map[string]store.Synchronous{"full": store.Full, "normal": store.Normal, "off": store.Off}[d.cfg.Database.Synchronous]
	}
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return err
	}
	d.store = s
	d.onClose(s.Close)
	return nil
}

// run serves until ctx ends or a part fails.
func (d *daemon) run(ctx context.Context, onReady func(ready) error) error {
	g, gctx := errgroup.WithContext(ctx)
	d.runParts(gctx, g)
	g.Go(func() error { // a broker alone has nothing else that runs
		<-gctx.Done()
		return nil
	})
	g.Go(func() error {
		if d.conductor != nil {
			select {
			case <-d.conductor.Ready():
				close(d.working)
			case <-gctx.Done():
				return nil
			}
		}
		if d.fleet != nil {
			if err := d.sayReady(gctx); err != nil {
				return err
			}
		}
		return onReady(d.ready())
	})
	return g.Wait()
}

// sayReady tells the units that the controller can serve boots, once the bus is reached.
func (d *daemon) sayReady(ctx context.Context) error {
	cctx, cancel := context.WithTimeout(ctx, busWait)
	defer cancel()
	if err := d.fleet.WaitConnected(cctx); err != nil {
		// The API serves meanwhile, and the fleet goes on trying.
		d.log.Warn("the MQTT broker is not reached yet", "broker", redactURL(d.brokerURL), "err", err)
	}
	if err := d.fleet.SetReady(ctx, true); err != nil && ctx.Err() == nil {
		d.log.Warn("the units will be told later that the controller is ready", "err", err)
	}
	return nil
}

// busWait is how long the start waits for the broker.
const busWait = 5 * time.Second

func (d *daemon) ready() ready {
	r := ready{MQTT: d.brokerURL, PID: os.Getpid()}
	if d.listener != nil {
		r.API = d.apiURL()
	}
	if d.boot != nil {
		r.TFTP = d.boot.tftp[0].Addr().String()
		r.DHCP = d.dhcpAddr()
	}
	if d.os != nil {
		r.NFS = d.os.nfsAddr.String()
	}
	return r
}

func (d *daemon) apiURL() string {
	scheme := "http"
	if d.cert != nil {
		scheme = "https"
	}
	return scheme + "://" + d.listener.Addr().String()
}

// runParts starts each part that this process has; the others say so.
func (d *daemon) runParts(ctx context.Context, g *errgroup.Group) {
	part := func(name string, enabled bool, run func(context.Context) error) {
		if !enabled {
			d.log.Info("not run by this process", "part", name)
			return
		}
		g.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	part("api", d.server != nil, d.serveAPI)
	part("conductor", d.conductor != nil, func(ctx context.Context) error { return d.conductor.Run(ctx) })
	part("networks", d.conductor != nil && d.networks != nil, d.runNetworks)
	part("drift of switches", d.conductor != nil && d.networks != nil, d.runDrift)
	part("bus", d.fleet != nil, func(ctx context.Context) error {
		<-ctx.Done()
		d.leaveBus() // before the units of a simulated chassis go
		return nil
	})
	part("strays", d.fleet != nil && d.boot != nil, d.runStrays)
	part("enrolment", d.fleet != nil && d.cfg.Enroll.Automatic != enrolOff, d.runEnrolment)
	part("boot", d.boot != nil, d.runBoot)
	part("boot offer", d.offer != nil, func(ctx context.Context) error { return d.offer.serve(ctx) })
	part("os-server", d.os != nil, d.runOS)
	part("os-server offer", d.os != nil && d.os.offer != nil, func(ctx context.Context) error { return d.os.offer.serve(ctx) })
	part("dhcp", len(d.dhcp) > 0, d.runDHCP)
	part("machines", d.conductor != nil, d.runMachines)
	part("console", d.consoles != nil, func(ctx context.Context) error { return d.consoles.Serve(ctx) })
}

// stopGrace is how long requests under way may take to finish at the end.
const stopGrace = 5 * time.Second

func (d *daemon) serveAPI(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		err := d.server.Shutdown(sctx)
		if err != nil {
			err = d.server.Close()
		}
		stopped <- err
	}()
	var err error
	if d.cert != nil {
		d.server.TLSConfig = d.cert.config()
		err = d.server.ServeTLS(d.listener, "", "")
	} else {
		err = d.server.Serve(d.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// writeJSONFile writes a ready file in one piece: a reader sees all of it or
// nothing. Without a path it does nothing.
func writeJSONFile(path string, r any) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil { //nolint:gosec // it holds no secret and others wait for it
		return fmt.Errorf("writing the ready file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing the ready file: %w", err)
	}
	return nil
}

// openCertificate reads the TLS certificate of the API and the consoles.
func (d *daemon) openCertificate(context.Context) (err error) {
	d.cert, err = openCertificate(d.cfg.API)
	return err
}

// openAPIListener binds the API's socket.
func (d *daemon) openAPIListener(context.Context) error {
	if !d.cfg.has(roleAPI) {
		return nil
	}
	l, err := d.listen("tcp", d.cfg.API.Listen)
	if err != nil {
		return fmt.Errorf("binding the API to %s: %w; choose another address with --listen or api.listen", d.cfg.API.Listen, err)
	}
	d.listener = l
	d.onClose(func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// troubles names the parts in other processes that are lost.
func (d *daemon) troubles() []string {
	if d.boot == nil {
		return nil
	}
	l := d.boot.service.Link()
	if l.Lost.IsZero() {
		return nil
	}
	return []string{fmt.Sprintf("lost since %s: %s", l.Lost.UTC().Format(time.RFC3339), l.Reason)}
}

// openAPI puts the API's handler together.
func (d *daemon) openAPI(context.Context) error {
	if !d.cfg.has(roleAPI) {
		return nil
	}
	var err error
	if d.auth, err = d.authenticator(); err != nil {
		return err
	}
	stopping := make(chan struct{})
	handler, err := ironicapi.New(ironicapi.Config{
		Stopping: stopping,
		Store:    d.store, Conductor: d.conductor, Log: d.log.With("part", "api"),
		PublicEndpoint: d.cfg.API.PublicEndpoint, Auth: d.auth, Observe: newAPIMetrics(d.metrics), Troubles: d.troubles,
		NoAgents: d.cfg.API.EnableAgents != nil && !*d.cfg.API.EnableAgents, Origins: d.cfg.API.CORSOrigins,
	})
	if err != nil {
		return err
	}
	if d.networks != nil {
		handler = withSwitches(handler, switchapi.New(switchapi.Config{Networks: d.networks, Drift: d.drift, Auth: d.auth, Log: d.log.With("part", "switches")}))
	}
	d.server = ironicapi.NewServer(withMetrics(handler, d.metrics))
	d.server.RegisterOnShutdown(sync.OnceFunc(func() { close(stopping) }))
	return nil
}
