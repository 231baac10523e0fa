// Package nfsroot is the deploy interface nfs-root and the boot interface
// rpi-netboot of the hardware type caddy: a node gets its own root file system
// from an archive, served over NFS, and boot files served over TFTP.
package nfsroot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/pxe"
)

// Driver implements drivers.Deploy.
type Driver struct {
	Boot BootService
	// Networks tells in which network of its own a node boots; nil = all boot
	// in the usual one.
	Networks Networks
	// DefaultImage is used by a deploy without image_source; empty URL = none.
	DefaultImage pxe.ImageSource
	// RootGB is how much of the disk a root may take, in GiB, unless
	// instance_info.root_gb says otherwise; 0 means all of it.
	RootGB int
	// Deployable refuses machines that cannot boot over the network (a caddy
	// with a switch in it); nil accepts all.
	Deployable func(ctx context.Context, n *baremetal.Node) error
	// Watch says what counts as booted, and what is done with a machine that
	// does not boot.
	Watch Watchdog
	// AwayTimeout is how long a deploy waits for a boot service or an
	// operating-system server that does not answer, 0 = DefaultAwayTimeout.
	AwayTimeout time.Duration
	// ImageTimeout is how long an image may take to be prepared, 0 = 15 min.
	ImageTimeout time.Duration
}

// Networks knows the networks that nodes are in.
type Networks interface {
	// BootServer is the boot service's address in the network from which the
	// node boots, with the network's length; the zero value if that is the usual one.
	// The error, of kind Invalid, says why the node cannot boot where it is.
	BootServer(t *drivers.Task) (netip.Prefix, error)
}

// DefaultAwayTimeout is time enough to restart a machine, or to find another.
const DefaultAwayTimeout = 15 * time.Minute

// The deploy steps, in the order they run.
const (
	stepFetch   = "fetch_image"
	stepCreate  = "create_root"
	stepPublish = "publish"
	stepBoot    = "wait_for_boot"
	stepErase   = "remove_root"
)

// generationArg names one deploy, so that a repeated step knows its own result.
const generationArg = "generation"

// HoldsRoot is true: the machine lives on what TearDown removes.
func (d *Driver) HoldsRoot() bool { return true }

// TakesConfigDrive is true: it is unpacked into the root.
func (d *Driver) TakesConfigDrive() bool { return true }

// configDriveKey is where instance_info keeps a config drive.
const configDriveKey = "configdrive"

// configDrive is the JSON text of the node's config drive, nil if it has none.
func configDrive(n *baremetal.Node) json.RawMessage {
	if !strings.Contains(string(n.InstanceInfo), configDriveKey) {
		return nil
	}
	drive := n.InstanceInfo.Get(configDriveKey)
	if drive == nil || drive == "" {
		return nil
	}
	text, err := json.Marshal(drive)
	if err != nil {
		return nil // it came from JSON
	}
	return text
}

// Validate checks the machine, its port and the image without fetching it.
func (d *Driver) Validate(ctx context.Context, t *drivers.Task) error {
	if d.Deployable != nil {
		if err := d.Deployable(ctx, &t.Node); err != nil {
			return err
		}
	}
	if _, err := d.publishRequest(ctx, t); err != nil {
		return err
	}
	if d.Watch.Mark == pxe.SignLogin && !t.Node.ConsoleEnabled {
		return baremetal.Errorf(baremetal.Invalid,
			"A deploy ends when the login prompt is seen on the serial console, and the console of node %s is off: enable it (openstack baremetal node console enable %s), or set deploy.boot_mark to another sign.", t.Node.UUID, t.Node.UUID)
	}
	if _, err := d.limit(&t.Node); err != nil {
		return err
	}
	img, err := d.image(&t.Node)
	if err != nil {
		return err
	}
	err = d.Boot.CheckImage(ctx, img)
	if drive := configDrive(&t.Node); err == nil && drive != nil {
		err = d.Boot.CheckConfigDrive(ctx, drive)
	}
	if isLost(err) {
		return nil // the deploy waits for it, and checks them then
	}
	return err
}

// Steps lists the steps of a deploy, and the removal of left-overs in cleaning.
func (d *Driver) Steps(_ context.Context, _ *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	switch kind {
	case baremetal.DeployStep:
		gen := map[string]any{generationArg: baremetal.NewUUID()}
		return []baremetal.Step{
			{Interface: "deploy", Name: stepFetch, Priority: 100, Local: true},
			{Interface: "power", Name: drivers.PowerOffStep, Priority: 95},
			{Interface: "deploy", Name: stepCreate, Priority: 90, Local: true, Args: gen},
			{Interface: "deploy", Name: stepPublish, Priority: 80, Local: true},
			{Interface: "power", Name: drivers.PowerOnStep, Priority: 70},
			{Interface: "deploy", Name: stepBoot, Priority: 60, Local: true, Abortable: true},
		}, nil
	case baremetal.CleanStep:
		return []baremetal.Step{{Interface: "deploy", Name: stepErase, Priority: 10, Local: true}}, nil
	}
	return nil, nil
}

// RunStep does one step; each comes to the same end however often it is run.
func (d *Driver) RunStep(ctx context.Context, t *drivers.Task, _ baremetal.StepKind, step baremetal.Step) (drivers.Result, error) {
	r, err := d.runStep(ctx, t, step)
	// A machine that boots reports by itself: its node stays in its wait state.
	return d.orWait(ctx, r, err, step.Name == stepBoot)
}

func (d *Driver) runStep(ctx context.Context, t *drivers.Task, step baremetal.Step) (drivers.Result, error) {
	switch step.Name {
	case stepFetch:
		return d.fetch(ctx, t)
	case stepCreate:
		return d.create(ctx, t, step)
	case stepPublish:
		return d.publish(ctx, t)
	case stepBoot:
		return d.waitForBoot(ctx, t)
	case stepErase:
		return drivers.Done(), d.Boot.Remove(ctx, t.Node.UUID)
	}
	return drivers.Result{}, baremetal.Errorf(baremetal.Invalid, "deploy interface nfs-root has no step %q", step.Name)
}

// TearDown ends the export and deletes the root; the conductor has switched
// the machine off.
func (d *Driver) TearDown(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	return d.orWait(ctx, drivers.Done(), d.Boot.Remove(ctx, t.Node.UUID), false)
}

func isLost(err error) bool {
	var lost *pxe.LostError
	return errors.As(err, &lost)
}

// orWait turns the loss of a part in another process into a wait for its return.
func (d *Driver) orWait(ctx context.Context, r drivers.Result, err error, callback bool) (drivers.Result, error) {
	var lost *pxe.LostError
	if !errors.As(err, &lost) || ctx.Err() != nil {
		return r, err
	}
	within := d.AwayTimeout
	if within == 0 {
		within = DefaultAwayTimeout
	}
	return drivers.WaitFor(drivers.Wait{
		Reason: fmt.Sprintf("the %s does not answer", lost.Part),
		Hint:   lost.Error() + ". The node goes on by itself when it is back.",
		Within: within, Poll: 2 * time.Second, Callback: callback,
	}), nil
}

func (d *Driver) fetch(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	img, err := d.image(&t.Node)
	if err != nil {
		return drivers.Result{}, err
	}
	got, err := d.Boot.FetchImage(ctx, img)
	if err != nil {
		return drivers.Result{}, fmt.Errorf("fetching image %s: %w", img.URL, err)
	}
	if !got.Ready {
		return drivers.WaitFor(d.imageWait(img, got)), nil
	}
	return drivers.Done(), nil
}

func (d *Driver) imageWait(img pxe.ImageSource, got pxe.Fetched) drivers.Wait {
	within := d.ImageTimeout
	if within == 0 {
		within = 15 * time.Minute
	}
	return drivers.Wait{
		Reason: fmt.Sprintf("image %s is being prepared: %s", img.URL, got.Progress),
		Hint:   "Check that this machine has Go and can reach its module proxy, or set instance_info.image_source to an archive of your own.",
		Within: within, Poll: 500 * time.Millisecond,
	}
}

func (d *Driver) create(ctx context.Context, t *drivers.Task, step baremetal.Step) (drivers.Result, error) {
	img, err := d.image(&t.Node)
	if err != nil {
		return drivers.Result{}, err
	}
	got, err := d.Boot.FetchImage(ctx, img) // it may have left the cache since
	if err != nil {
		return drivers.Result{}, fmt.Errorf("fetching image %s: %w", img.URL, err)
	}
	if !got.Ready {
		return drivers.WaitFor(d.imageWait(img, got)), nil
	}
	req, err := d.publishRequest(ctx, t)
	if err != nil {
		return drivers.Result{}, err
	}
	limit, err := d.limit(&t.Node)
	if err != nil {
		return drivers.Result{}, err
	}
	gen, _ := step.Args[generationArg].(string)
	err = d.Boot.CreateRoot(ctx, pxe.RootRequest{NodeID: t.Node.UUID, Generation: gen, Hostname: hostname(&t.Node), Image: img,
		MAC: req.MAC, Server: req.Server, ConfigDrive: configDrive(&t.Node), LimitBytes: limit})
	if err != nil {
		return drivers.Result{}, fmt.Errorf("making the root: %w", err)
	}
	return drivers.Done(), nil
}

// maxRootGB keeps the limit in bytes within 63 bits.
const maxRootGB = 1 << 30

// limit is how many bytes the node's root may take, 0 if there is no limit.
func (d *Driver) limit(n *baremetal.Node) (uint64, error) {
	gb := d.RootGB
	if n.InstanceInfo.Has("root_gb") {
		var ok bool
		if gb, ok = n.InstanceInfo.Int("root_gb"); !ok || gb < 0 || gb > maxRootGB {
			return 0, baremetal.Errorf(baremetal.Invalid, "instance_info.root_gb %q is not a number of GiB (0 means no limit).", n.InstanceInfo.Str("root_gb"))
		}
	}
	return uint64(gb) << 30, nil
}

func (d *Driver) publish(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	req, err := d.publishRequest(ctx, t)
	if err != nil {
		return drivers.Result{}, err
	}
	if err := d.Boot.Publish(ctx, req); err != nil {
		return drivers.Result{}, fmt.Errorf("publishing the root: %w", err)
	}
	return drivers.Done(), d.Boot.ExpectBoot(ctx, t.Node.UUID)
}

func (d *Driver) waitForBoot(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	return d.Watch.Await(ctx, d.Boot, t)
}

// image is what instance_info asks for, or the configured default.
func (d *Driver) image(n *baremetal.Node) (pxe.ImageSource, error) {
	info := n.InstanceInfo
	img := pxe.ImageSource{
		URL: info.Str("image_source"), ChecksumAlgo: info.Str("image_os_hash_algo"), Checksum: info.Str("image_os_hash_value")}
	if img.Checksum == "" {
		img.Checksum = info.Str("image_checksum")
	}
	if img.URL == "" {
		img = d.DefaultImage
	}
	if img.URL == "" {
		return img, baremetal.Errorf(baremetal.Invalid,
			"Node %s has no image: set instance_info.image_source to a root file system archive (file://, http:// or https://), or configure default_image.", n.UUID)
	}
	return img, nil
}

// publishRequest gathers how the machine is known on the wire.
func (d *Driver) publishRequest(ctx context.Context, t *drivers.Task) (pxe.PublishRequest, error) {
	req := pxe.PublishRequest{NodeID: t.Node.UUID, Model: model(&t.Node)}
	var err error
	if req.KernelParams, err = kernelParams(&t.Node); err != nil {
		return req, err
	}
	i := slices.IndexFunc(t.Ports, func(p baremetal.Port) bool { return p.PXEEnabled })
	if i < 0 {
		return req, baremetal.Errorf(baremetal.Invalid,
			"Node %s has no port that boots: create one with the MAC of its Pi (openstack baremetal port create MAC --node %s).", t.Node.UUID, t.Node.UUID)
	}
	m, err := MachineOf(&t.Node, &t.Ports[i])
	if err != nil {
		return req, err
	}
	if d.Networks != nil {
		server, err := d.Networks.BootServer(t)
		if err != nil {
			return req, err
		}
		m.Server = server.Addr()
	}
	at, err := d.Boot.ReserveAddress(ctx, m)
	if err != nil {
		return req, err
	}
	req.MAC, req.Serial, req.Client, req.Learn, req.Server = m.MAC, m.Serial, at.Address, at.Learn, m.Server
	return req, nil
}

var serial = regexp.MustCompile(`^[0-9a-f]{8}$`)

// MachineOf tells the boot service who boots from a port; the error is of kind
// Invalid and names what is wrong in the node or the port.
func MachineOf(n *baremetal.Node, p *baremetal.Port) (pxe.Machine, error) {
	m := pxe.Machine{NodeID: n.UUID, Name: hostname(n), MAC: p.Address}
	if addr := p.Extra.Str("ip_address"); addr != "" {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return m, baremetal.Errorf(baremetal.Invalid, "Port %s: extra.ip_address %q is not an IP address.", p.UUID, addr)
		}
		m.Address = a
	}
	if s := n.DriverInfo.Str("serial_number"); s != "" {
		s = strings.ToLower(s)
		s = s[max(0, len(s)-8):]
		if !serial.MatchString(s) {
			return m, baremetal.Errorf(baremetal.Invalid,
				"driver_info.serial_number %q is not a Raspberry Pi serial number (8 or 16 hex digits).", n.DriverInfo.Str("serial_number"))
		}
		m.Serial = s
	}
	return m, nil
}

// NetworkMoved brings what is served up to date with the network that the node
// is in now. A node without a root has nothing served.
func (d *Driver) NetworkMoved(ctx context.Context, t *drivers.Task) error {
	if t.Node.Work.Place == "" || d.Networks == nil {
		return nil
	}
	req, err := d.publishRequest(ctx, t)
	if err != nil {
		return err
	}
	err = d.Boot.Publish(ctx, req)
	if baremetal.IsKind(err, baremetal.NotFound) {
		return nil
	}
	return err
}

// hostname is the node's name as a host is called, else its uuid's first part.
func hostname(n *baremetal.Node) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || r == '~' {
			return '-'
		}
		return r
	}, n.Name)
	name = strings.Trim(name, "-.")
	if name == "" {
		name = "node-" + strings.SplitN(n.UUID, "-", 2)[0]
	}
	return name
}
