package nfsroot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/pxe"
	"caddyshack/pxe/roots"
)

// Rescue is the rescue interface nfs-rescue: the node boots a rescue root beside
// its own, into which its user "rescue" gets with the rescue password.
type Rescue struct {
	Driver *Driver
	// Power switches the machine.
	Power drivers.Power
	// Image is what rescue roots are made of; empty URL = the Driver's default.
	Image pxe.ImageSource
}

var (
	_ drivers.Rescue        = (*Rescue)(nil)
	_ drivers.RescueAborter = (*Rescue)(nil)
)

// Keys of the journal.
const (
	rescueGeneration = "rescue.generation" // of the rescue root
	rescueOff        = "rescue.off"        // the machine was switched off
	rescueServed     = "rescue.served"     // what it is to boot is served
	rescueOn         = "rescue.on"         // it was switched on
)

// Validate checks that the node has what a rescue needs, without fetching the image.
func (r *Rescue) Validate(ctx context.Context, t *drivers.Task) error {
	if err := r.Power.Validate(ctx, t); err != nil {
		return err
	}
	if t.Node.DisablePowerOff {
		return baremetal.Errorf(baremetal.Invalid, "A rescue switches node %s off and on, and disable_power_off is set.", t.Node.UUID)
	}
	if r.Driver.Deployable != nil {
		if err := r.Driver.Deployable(ctx, &t.Node); err != nil {
			return err
		}
	}
	if _, err := r.Driver.publishRequest(ctx, t); err != nil {
		return err
	}
	switch t.Node.ProvisionState {
	case baremetal.Rescue, baremetal.RescueFailed, baremetal.UnrescueFailed:
		return nil // the way back must be open, whatever became of the image
	}
	img, err := r.image()
	if err != nil {
		return err
	}
	if err := r.Driver.Boot.CheckImage(ctx, img); err != nil && !isLost(err) {
		return err
	}
	return nil
}

func (r *Rescue) image() (pxe.ImageSource, error) {
	img := r.Image
	if img.URL == "" {
		img = r.Driver.DefaultImage
	}
	if img.URL == "" {
		return img, baremetal.Errorf(baremetal.Invalid, "there is no image for rescue: configure images.rescue_image, or images.default_image")
	}
	return img, nil
}

// Rescue boots the rescue root, and goes on until its root is mounted.
func (r *Rescue) Rescue(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	result, err := r.rescue(ctx, t)
	return r.Driver.orWait(ctx, result, err, t.Journal.Get(rescueOn) != "")
}

func (r *Rescue) rescue(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	if t.Journal.Get(rescueServed) == "" {
		img, err := r.image()
		if err != nil {
			return drivers.Result{}, err
		}
		got, err := r.Driver.Boot.FetchImage(ctx, img) // while its own system still runs
		if err != nil {
			return drivers.Result{}, fmt.Errorf("fetching image %s: %w", img.URL, err)
		}
		if !got.Ready {
			wait := r.Driver.imageWait(img, got)
			wait.Within += r.Driver.Watch.within() // the deadline of the first wait holds for the boot as well
			return drivers.WaitFor(wait), nil
		}
		if err := r.prepare(ctx, t, img); err != nil {
			return drivers.Result{}, err
		}
	}
	if err := r.switchTo(ctx, t, baremetal.TargetOn, rescueOn); err != nil {
		return drivers.Result{}, err
	}
	watch := r.Driver.Watch
	watch.Mark = pxe.SignMounted // what else a system tells, not every image for rescue does
	return watch.Await(ctx, r.Driver.Boot, t)
}

// prepare switches the machine off and serves it a rescue root.
func (r *Rescue) prepare(ctx context.Context, t *drivers.Task, img pxe.ImageSource) error {
	if err := r.switchTo(ctx, t, baremetal.TargetOff, rescueOff); err != nil {
		return err
	}
	if t.Journal.Get(rescueGeneration) == "" {
		if err := t.Journal.Put(ctx, rescueGeneration, baremetal.NewUUID()); err != nil {
			return err
		}
	}
	hash := t.Node.InstanceInfo.Str(drivers.RescueHashKey)
	if hash == "" {
		return baremetal.Errorf(baremetal.Invalid, "the rescue password of node %s is not there: ask for the rescue again", t.Node.UUID)
	}
	req, err := r.Driver.publishRequest(ctx, t)
	if err != nil {
		return err
	}
	req.KernelParams = "" // those of instance_info are for its own system
	err = r.Driver.Boot.CreateRoot(ctx, pxe.RootRequest{NodeID: t.Node.UUID, Generation: t.Journal.Get(rescueGeneration),
		Hostname: rescueName(hostname(&t.Node)), Image: img, MAC: req.MAC, Server: req.Server, Rescue: &roots.Rescue{PasswordHash: hash}})
	if err != nil {
		return fmt.Errorf("making the rescue root: %w", err)
	}
	if err := r.Driver.Boot.Publish(ctx, req); err != nil {
		return fmt.Errorf("publishing the rescue root: %w", err)
	}
	if err := r.Driver.Boot.ExpectBoot(ctx, t.Node.UUID); err != nil {
		return err
	}
	return t.Journal.Put(ctx, rescueServed, "yes")
}

// switchTo switches the machine once; key remembers that.
func (r *Rescue) switchTo(ctx context.Context, t *drivers.Task, target baremetal.PowerTarget, key string) error {
	if t.Journal.Get(key) != "" {
		return nil
	}
	if err := r.Power.SetPower(ctx, t, target, 0); err != nil {
		return err
	}
	return t.Journal.Put(ctx, key, "yes")
}

// rescueName is what a node's rescue system is called, so that nobody takes it
// for its own.
func rescueName(host string) string {
	const longest = 63
	label, rest, _ := strings.Cut(host, ".")
	name := label[:min(len(label), longest-len("-rescue"))] + "-rescue"
	if rest != "" {
		name += "." + rest
	}
	return name
}

// Unrescue boots the node's own root again. It does not wait for that.
func (r *Rescue) Unrescue(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	return r.Driver.orWait(ctx, drivers.Done(), r.unrescue(ctx, t), false)
}

func (r *Rescue) unrescue(ctx context.Context, t *drivers.Task) error {
	if t.Journal.Get(rescueServed) == "" {
		if err := r.switchTo(ctx, t, baremetal.TargetOff, rescueOff); err != nil {
			return err
		}
		if err := r.Driver.Boot.RemoveRescue(ctx, t.Node.UUID); err != nil {
			return err
		}
		req, err := r.Driver.publishRequest(ctx, t)
		if err != nil {
			return err
		}
		if err := r.Driver.Boot.Publish(ctx, req); err != nil {
			return fmt.Errorf("publishing the node's own root: %w", err)
		}
		if err := r.Driver.Boot.ExpectBoot(ctx, t.Node.UUID); err != nil {
			return err
		}
		if err := t.Journal.Put(ctx, rescueServed, "yes"); err != nil {
			return err
		}
	}
	return r.switchTo(ctx, t, baremetal.TargetOn, rescueOn)
}

// AbortRescue switches the machine off and takes the rescue root away; unrescue
// brings its own system back.
func (r *Rescue) AbortRescue(ctx context.Context, t *drivers.Task) error {
	return errors.Join(r.Power.SetPower(ctx, t, baremetal.TargetOff, 0), r.Driver.Boot.RemoveRescue(ctx, t.Node.UUID))
}
