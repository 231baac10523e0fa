package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/pxe/card"
)

type prepareCardCmd struct {
	Model     string `required:"" help:"pi3b, pi4 or pi5 (a Pi 3B+ needs no card)."`
	Permanent bool   `help:"Pi 3B: make the card that sets the OTP bit for network boot. This can NEVER be undone."`
	NoOTP     bool   `name:"no-otp" help:"Pi 3B: make a card with bootcode.bin alone. It changes nothing, and stays in the Pi."`
	Firmware  string `type:"path" placeholder:"DIR" help:"Take the firmware from this folder rather than fetch it (a Pi 5 needs this: firmware-2712/latest of Raspberry Pi's rpi-eeprom)."`
	Force     bool   `help:"Replace the image file if it exists."`
	Out       string `arg:"" name:"out.img" help:"The image file to make."`
}

// Run makes the one-time SD card of a Raspberry Pi.
func (c *prepareCardCmd) Run(ctx context.Context) error {
	return c.run(ctx, os.Stdout)
}

func (c *prepareCardCmd) run(ctx context.Context, out io.Writer) error {
	o := card.Options{Model: card.Model(strings.ToLower(c.Model)), Permanent: c.Permanent, NoOTP: c.NoOTP, Firmware: c.Firmware}
	err := o.Check()
	if err == nil {
		err = card.CheckTarget(c.Out, c.Force) // before anything is fetched
	}
	if err != nil {
		return &configError{err.Error()}
	}
	made, err := card.Make(ctx, o)
	if baremetal.IsKind(err, baremetal.Invalid) {
		return &configError{err.Error()}
	}
	if err != nil {
		return fmt.Errorf("preparing the card: %w", err)
	}
	if err := card.Write(c.Out, made.Files, c.Force); err != nil {
		return fmt.Errorf("preparing the card: %w", err)
	}
	return tellCard(out, c.Out, o, made)
}

// tellCard says what was made and what comes next.
func tellCard(out io.Writer, path string, o card.Options, made card.Card) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is the image of a card for a %s. It holds\n", path, o.Model)
	for _, f := range made.Files {
		fmt.Fprintf(&b, "  %-13s %8d bytes\n", f.Name, len(f.Data))
	}
	if made.Settings != "" {
		fmt.Fprintf(&b, "The bootloader is of %s; its settings will be\n  %s\n", made.Bootloader, strings.ReplaceAll(strings.TrimSpace(made.Settings), "\n", "\n  "))
	}
	if o.Permanent {
		b.WriteString("WARNING: a Pi 3B that starts with this card sets a bit of its one-time programmable memory. That is PERMANENT.\n" +
			"Every Pi that starts with it does so; label the card.\n")
	}
	b.WriteString("Write it to a card with Raspberry Pi Imager (\"use custom\") or dd; docs/first-pi.md says what LED and console show then.\n")
	_, err := io.WriteString(out, b.String())
	return err
}
