// Package card makes the SD card that a Raspberry Pi needs once before it boots
// from the network: out of the box a Pi 4 and a Pi 5 do not try the network, and
// a Pi 3B cannot. What is on the card is the makers' firmware, which is fetched
// on the user's machine as Go modules, or taken from a folder of the user's; we
// add settings alone.
package card

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"caddyshack/baremetal"
)

// Model is a Raspberry Pi that needs a card.
type Model string

// The models. A Pi 3B+ boots from the network as it is.
const (
	Pi3B Model = "pi3b"
	Pi4  Model = "pi4"
	Pi5  Model = "pi5"
)

// Options say what card to make.
type Options struct {
	Model Model
	// Permanent makes the card of a Pi 3B that sets its OTP bit, which cannot be
	// undone; NoOTP the one that stays in the Pi. One of them is needed for a Pi
	// 3B, and none for another.
	Permanent, NoOTP bool
	// Firmware is a folder with the files of the firmware; "" fetches them.
	Firmware string
	// Go is the go command; "" means the one in PATH. Env is added to its
	// environment.
	Go  string
	Env []string
	// Now is the time that the update of an EEPROM bears; zero means the present.
	Now time.Time
}

// File is a file in the card's one folder.
type File struct {
	Name string
	Data []byte
}

// Card is what is to be on a card.
type Card struct {
	Files []File
	// Bootloader is the date of the EEPROM image, Settings its boot
	// configuration; both are empty for a Pi 3B.
	Bootloader, Settings string
}

// Check returns an error of kind Invalid if the options do not fit together.
func (o Options) Check() error {
	switch o.Model {
	case Pi3B:
		if o.Permanent == o.NoOTP {
			return baremetal.Errorf(baremetal.Invalid, "a Pi 3B boots from the network only once a bit of its one-time programmable memory is set, and that can NEVER be undone: "+
				"say --permanent for a card that sets it, or --no-otp for a card with bootcode.bin alone, which stays in the Pi and changes nothing")
		}
	case Pi4, Pi5:
		if o.Permanent || o.NoOTP {
			return baremetal.Errorf(baremetal.Invalid, "--permanent and --no-otp are for a Pi 3B; the settings of a %s are in an EEPROM and can be changed again", o.Model)
		}
	case "pi3b+", "pi3plus":
		return baremetal.Errorf(baremetal.Invalid, "a Pi 3B+ needs no card: it boots from the network when no card is in it")
	default:
		return baremetal.Errorf(baremetal.Invalid, "%.40q is no model that needs a card; the models are %s, %s and %s", string(o.Model), Pi3B, Pi4, Pi5)
	}
	return nil
}

// Make gathers what is on the card.
func Make(ctx context.Context, o Options) (Card, error) {
	if err := o.Check(); err != nil {
		return Card{}, err
	}
	dirs, err := o.firmware(ctx)
	if err != nil {
		return Card{}, err
	}
	if o.Model == Pi3B {
		return makePi3(o, dirs.boot)
	}
	return makeEEPROM(o, dirs.eeprom)
}

// makePi3 is a card with the first stage alone, which then boots from the
// network; or one that lets the second stage set the OTP bit.
func makePi3(o Options, dir string) (Card, error) {
	names := []string{"bootcode.bin"}
	if o.Permanent {
		names = append(names, "start.elf", "fixup.dat")
	}
	var c Card
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return Card{}, fmt.Errorf("the firmware for a Pi 3B: %w", err)
		}
		c.Files = append(c.Files, File{name, data})
	}
	if o.Permanent {
		c.Files = append(c.Files, File{"config.txt", []byte("# Sets the OTP bit that lets this Pi boot from the network. It cannot be undone.\n" +
			"program_usb_boot_mode=1\nenable_uart=1\nuart_2ndstage=1\n")})
	}
	return c, nil
}

// eepromName is the name of an EEPROM image with the date of its bootloader.
var eepromName = regexp.MustCompile(`^pieeprom-(\d{4}-\d{2}-\d{2})\.bin$`)

// makeEEPROM is a card from which the boot ROM runs recovery.bin, which writes
// the EEPROM.
func makeEEPROM(o Options, dir string) (Card, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return Card{}, fmt.Errorf("the firmware for a %s: %w", o.Model, err)
	}
	var images []string
	for _, e := range list {
		if eepromName.MatchString(e.Name()) {
			images = append(images, e.Name())
		}
	}
	if len(images) == 0 {
		return Card{}, baremetal.Errorf(baremetal.Invalid, "%s has no pieeprom-DATE.bin; give the folder of a release, such as firmware-2712/latest of Raspberry Pi's rpi-eeprom", dir)
	}
	newest := slices.Max(images) // dates sort as text
	image, err := os.ReadFile(filepath.Join(dir, newest))
	if err != nil {
		return Card{}, fmt.Errorf("the firmware for a %s: %w", o.Model, err)
	}
	recovery, err := os.ReadFile(filepath.Join(dir, "recovery.bin"))
	if err != nil {
		return Card{}, fmt.Errorf("the firmware for a %s: %w", o.Model, err)
	}
	if want := eepromSize(o.Model); len(image) != want {
		return Card{}, baremetal.Errorf(baremetal.Invalid, "%s has %d bytes and the EEPROM of a %s %d: it is for another model", filepath.Join(dir, newest), len(image), o.Model, want)
	}
	old, err := readConfig(image)
	if err != nil {
		return Card{}, fmt.Errorf("%s: %w", newest, err)
	}
	settings := mergeConfig(old, bootSettings(o.Model))
	if image, err = writeConfig(image, settings); err != nil {
		return Card{}, fmt.Errorf("%s: %w", newest, err)
	}
	if got, err := readConfig(image); err != nil || got != settings {
		return Card{}, fmt.Errorf("%s: its boot configuration reads back as %q (%w)", newest, got, err)
	}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	return Card{Bootloader: eepromName.FindStringSubmatch(newest)[1], Settings: settings,
		Files: []File{{"recovery.bin", recovery}, {"pieeprom.bin", image}, {"pieeprom.sig", signature(image, now)}}}, nil
}

// equal compares what is on two cards.
func equal(a, b []File) bool {
	return slices.EqualFunc(a, b, func(x, y File) bool { return x.Name == y.Name && bytes.Equal(x.Data, y.Data) })
}
