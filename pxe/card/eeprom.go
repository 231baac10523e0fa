package card

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The layout of an EEPROM image is known from Raspberry Pi's own tool,
// rpi-eeprom-config: sections one after the other, each with a magic number and
// a length in front (32 bits each, big-endian), aligned to 8 bytes. A file is a
// section whose first 16 bytes are its name; the last 4 KiB of an image are the
// bootloader's own.
const (
	sectionMagic = 0x55aaf00f
	sectionMask  = 0xfffff00f
	fileMagic    = 0x55aaf11f
	sectionHead  = 8
	fileName     = 16
	reservedEnd  = 4 << 10
	// maxConfig is what the tool accepts.
	maxConfig  = 2024
	configFile = "bootconf.txt"
)

// eepromSize is the size of a model's EEPROM in bytes.
func eepromSize(m Model) int {
	if m == Pi5 {
		return 2 << 20
	}
	return 512 << 10
}

// bootSettings are what a Pi needs to boot from the network without a hand: a
// card first, then the network, then again; what it does on the serial line.
func bootSettings(m Model) []string {
	s := []string{"BOOT_UART=1", "BOOT_ORDER=0xf21", "NET_INSTALL_ENABLED=0", "NET_INSTALL_AT_POWER_ON=0"}
	if m == Pi5 {
		// A caddy's supply does not speak USB Power Delivery.
		s = append(s, "PSU_MAX_CURRENT=5000")
	}
	return s
}

// errLayout is returned for what is not an EEPROM image as we know them.
var errLayout = errors.New("it is not an EEPROM image of a layout that is known; use one of Raspberry Pi's rpi-eeprom")

// findConfig returns where the section of the boot configuration begins, and
// its length. It must be the last section: what follows must be erased, so that
// it can grow.
func findConfig(image []byte) (at, length int, err error) {
	end := len(image) - reservedEnd
	for at := 0; at+sectionHead+fileName <= end; {
		magic := binary.BigEndian.Uint32(image[at:])
		length := int(binary.BigEndian.Uint32(image[at+4:]))
		if magic&sectionMask != sectionMagic || length > end-at-sectionHead {
			return 0, 0, errLayout
		}
		body := image[at+sectionHead : at+sectionHead+length]
		if magic == fileMagic && length >= fileName && string(bytes.TrimRight(body[:fileName], "\x00")) == configFile {
			if len(bytes.Trim(image[at+sectionHead+length:end], "\xff")) > 0 {
				return 0, 0, fmt.Errorf("something follows its boot configuration: %w", errLayout)
			}
			return at, length, nil
		}
		at = (at + sectionHead + length + 7) &^ 7
	}
	return 0, 0, fmt.Errorf("it has no %s: %w", configFile, errLayout)
}

// readConfig returns the boot configuration of an image.
func readConfig(image []byte) (string, error) {
	at, length, err := findConfig(image)
	if err != nil {
		return "", err
	}
	return string(image[at+sectionHead+fileName : at+sectionHead+length]), nil
}

// writeConfig returns a copy of an image with another boot configuration.
func writeConfig(image []byte, text string) ([]byte, error) {
	at, length, err := findConfig(image)
	if err != nil {
		return nil, err
	}
	if limit := min(maxConfig, len(image)-reservedEnd-at-sectionHead-fileName); len(text) > limit {
		return nil, fmt.Errorf("the boot configuration has %d bytes, at most %d fit", len(text), limit)
	}
	out := bytes.Clone(image)
	binary.BigEndian.PutUint32(out[at+4:], uint32(fileName+len(text)))
	body := out[at+sectionHead+fileName : at+sectionHead+max(length, fileName+len(text))]
	for i := copy(body, text); i < len(body); i++ {
		body[i] = 0xff // erased
	}
	return out, nil
}

// mergeConfig puts settings (KEY=VALUE) at the end of a boot configuration, for
// all boards, and takes out what it said of the same keys.
func mergeConfig(old string, settings []string) string {
	var b strings.Builder
	for line := range strings.Lines(old) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		again := false
		for _, s := range settings {
			again = again || strings.HasPrefix(s, strings.TrimSpace(key)+"=")
		}
		if !again {
			b.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	b.WriteString("[all]\n" + strings.Join(settings, "\n") + "\n")
	return b.String()
}

// signature is pieeprom.sig: what recovery.bin checks the image by, and the time
// of the update.
func signature(image []byte, now time.Time) []byte {
	sum := sha256.Sum256(image)
	return fmt.Appendf(nil, "%s\nts: %d\n", hex.EncodeToString(sum[:]), now.Unix())
}
