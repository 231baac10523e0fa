package provision

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The trailer of an update file, as firmware/core/update.h has it.
const (
	trailerMagic  = 0x44444143
	hardwareID    = 0x42505541
	signatureSize = 256
)

// Version is major*10000 + minor*100 + patch, as units compare them.
type Version uint32

// ParseVersion reads "1.2.3"; each part is at most 99.
func ParseVersion(s string) (Version, error) {
	parts := strings.Split(s, ".")
	v := Version(0)
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil || n > 99 || len(parts) != 3 {
			return 0, fmt.Errorf("reading the version %q: want three numbers up to 99, such as 1.2.3", s)
		}
		v = v*100 + Version(n)
	}
	return v, nil
}

// String is the form of Info's firmware.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100) }

// Sign makes an update file of a firmware image: the image, a trailer with its
// version and the oldest version that may follow it, the signature, and the
// signature's length. key must be RSA with 2048 bits.
func Sign(image []byte, version, minimum Version, key *rsa.PrivateKey) ([]byte, error) {
	if key.Size() != signatureSize {
		return nil, fmt.Errorf("signing the firmware: the key has %d bits, units know 2048", key.Size()*8)
	}
	if minimum > version {
		return nil, errors.New("signing the firmware: the minimum version is above its own")
	}
	file := append([]byte(nil), image...)
	for len(file)%4 != 0 {
		file = append(file, 0xff)
	}
	for _, word := range []uint32{trailerMagic, hardwareID, uint32(version), uint32(minimum)} {
		file = binary.LittleEndian.AppendUint32(file, word)
	}
	digest := sha256.Sum256(file)
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, fmt.Errorf("signing the firmware: %w", err)
	}
	return binary.LittleEndian.AppendUint32(append(file, signature...), signatureSize), nil
}

// FileVersion returns the version that an update file carries.
func FileVersion(file []byte) (Version, error) {
	const tail = 16 + signatureSize + 4
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], trailerMagic)
	if len(file) <= tail || !bytes.Equal(file[len(file)-tail:len(file)-tail+4], magic[:]) {
		return 0, errors.New("reading the update: this is no signed firmware file")
	}
	return Version(binary.LittleEndian.Uint32(file[len(file)-tail+8:])), nil
}
