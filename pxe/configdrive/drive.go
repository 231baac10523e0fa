// Package configdrive reads config drives: what OpenStack and its bare metal
// clients hand to a machine as its host name, keys, network and first-boot
// configuration. It knows every form that the Ironic API takes (an object, or
// base64 of an ISO 9660 or VFAT image, compressed or not) and turns each into one
// Drive, from which files for the machine's root are made.
//
// A drive is written by whoever may deploy, and is not trusted: sizes, counts
// and depths are limited, and no name of it leads anywhere but into the root.
package configdrive

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"caddyshack/baremetal"
)

// ErrLimit marks a drive that exceeds a limit of size or number.
var ErrLimit = errors.New("exceeds limit")

// Limits of a drive.
const (
	// MaxTransport bounds a drive as it is handed over or fetched, in bytes.
	MaxTransport = 8 << 20
	// maxImage bounds an image once it is unpacked, in bytes: Nova's VFAT images
	// have 64 MiB.
	maxImage = 64 << 20
	// maxDocument bounds each document of a drive, in bytes.
	maxDocument = 4 << 20
	// maxFiles and maxFileBytes bound the files that a drive brings.
	maxFiles     = 256
	maxFileBytes = 16 << 20
	// maxKeys bounds the keys of a user.
	maxKeys = 256
)

// Drive is what a config drive tells its machine.
type Drive struct {
	// MetaData is meta_data.json; numbers are json.Number.
	MetaData map[string]any `json:"meta_data,omitempty"`
	// UserData is for cloud-init or the like: a script, cloud-config, …
	UserData []byte `json:"user_data,omitempty"`
	// NetworkData is network_data.json.
	NetworkData map[string]any `json:"network_data,omitempty"`
	// VendorData is vendor_data.json, VendorData2 vendor_data2.json.
	VendorData  any            `json:"vendor_data,omitempty"`
	VendorData2 map[string]any `json:"vendor_data2,omitempty"`
	// Files are to be put into the root.
	Files []File `json:"files,omitempty"`
}

// File is a file that a drive brings.
type File struct {
	// Path is where it goes: clean and relative to the root.
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// IsZero tells whether the drive says nothing.
func (d Drive) IsZero() bool {
	return d.MetaData == nil && d.UserData == nil && d.NetworkData == nil && d.VendorData == nil && d.VendorData2 == nil && d.Files == nil
}

// Hostname is the machine's name in meta_data, "" if it gives none.
func (d Drive) Hostname() string {
	for _, key := range []string{"hostname", "local-hostname"} {
		if s, _ := d.MetaData[key].(string); s != "" {
			return s
		}
	}
	return ""
}

// invalid makes an error about a config drive.
func invalid(format string, args ...any) error {
	return baremetal.Errorf(baremetal.Invalid, "Invalid configdrive: "+format, args...)
}

// overLimit makes an error that wraps ErrLimit.
func overLimit(format string, args ...any) error {
	return &baremetal.Error{Kind: baremetal.Invalid, Message: "Invalid configdrive: it exceeds the limit: " + fmt.Sprintf(format, args...), Err: ErrLimit}
}

// checked returns d if all that others rely on holds.
func (d Drive) checked() (Drive, error) {
	if _, err := d.Keys(); err != nil {
		return Drive{}, err
	}
	sum := 0
	for _, f := range d.Files {
		sum += len(f.Data)
	}
	if len(d.Files) > maxFiles || sum > maxFileBytes {
		return Drive{}, overLimit("%d files with %d bytes; at most %d files with %d MiB are taken", len(d.Files), sum, maxFiles, maxFileBytes>>20)
	}
	return d, nil
}

// cleanPath makes the path of a file relative to the root. It refuses what
// would leave the root.
func cleanPath(p string) (string, error) {
	clean := strings.TrimLeft(p, "/")
	switch {
	case clean == "" || strings.HasSuffix(clean, "/"):
		return "", invalid("%.80q is not the path of a file", p)
	case strings.ContainsRune(p, 0) || len(p) > 4096:
		return "", invalid("the path %.80q is too long or holds a NUL byte", p)
	case path.Clean("/" + clean)[1:] != clean:
		return "", invalid("the path %.80q must be clean: no \"..\", \".\" or double slashes", p)
	}
	return clean, nil
}
