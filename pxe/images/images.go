// Package images fetches root file system archives, verifies them and keeps
// them in a bounded cache from which nodes are deployed.
//
// An image comes from one of three kinds of source: a file under a folder that
// the operator has allowed (file://), a web server (http:// or https://, with a
// mandatory checksum), or the program itself (builtin:NAME). Whatever the
// source says about itself is not trusted: addresses are checked when they are
// dialled, the kind of an archive is taken from its first bytes, and unpacking
// is limited in entries, bytes and compression ratio.
package images

import (
	"context"
	"errors"
	"fmt"

	"caddyshack/baremetal"
)

// Kinds of failure, to be tested with errors.Is. The text of the error that
// wraps them says what happened and what the user can do. They are
// *baremetal.Error as well.
var (
	// ErrRefused marks a source that policy or syntax forbids. Nothing was opened.
	ErrRefused = errors.New("image source refused")
	// ErrChecksum marks content that does not have the promised digest. It was discarded.
	ErrChecksum = errors.New("wrong checksum")
	// ErrFormat marks content that is not a tar archive in a supported compression.
	ErrFormat = errors.New("unsupported image format")
	// ErrArchive marks an archive that is damaged or tries to leave its root.
	ErrArchive = errors.New("bad archive")
	// ErrLimit marks an image that exceeds a limit of size, entries or ratio.
	ErrLimit = errors.New("exceeds limit")
	// ErrNoSpace marks a disk or cache without room for the image.
	ErrNoSpace = errors.New("not enough space")
	// ErrNotReady marks a builtin image that is still being prepared: ask
	// again later. See NotReadyError for the progress.
	ErrNotReady = errors.New("image is not ready yet")
)

// Source says where an image is and what it must be.
type Source struct {
	// URL is Ironic's image_source: file://, http://, https:// or builtin:NAME.
	URL string `json:"url"`
	// Checksum is required for http(s) and optional otherwise.
	Checksum Checksum `json:"checksum"`
}

// Checksum is the expected digest of an image as it is transported.
type Checksum struct {
	// Algo is "sha256" or "sha512" (Ironic's image_os_hash_algo). Empty means:
	// told by a prefix of Value ("sha256:…") or by its length.
	Algo string `json:"algo,omitempty"`
	// Value is the digest in hexadecimal. Empty means none.
	Value string `json:"value,omitempty"`
}

// Image is an archive on this host, verified and ready to be unpacked.
type Image struct {
	// Path of the archive. It stays valid for the hold time of the cache
	// (Config.Hold) after Fetch; open it within that time, or fetch again.
	Path string `json:"path"`
	// Digest is "sha256:HEX" or "sha512:HEX".
	Digest string `json:"digest"`
	// Size in bytes, as transported.
	Size int64 `json:"size"`
}

// Progress tells how far a fetch is.
type Progress struct {
	// Done and Total are bytes; Total is 0 while unknown.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Text is for people: "downloading", "verifying", "copying".
	Text string `json:"text"`
}

// Builtin is an image that the program provides itself.
type Builtin interface {
	// Image returns the archive, or an error that wraps ErrNotReady while it
	// is being prepared. It does not wait.
	Image(ctx context.Context) (Image, error)
}

// NotReadyError says how far the preparation of a builtin image is. It wraps
// ErrNotReady.
type NotReadyError struct {
	// Name of the builtin image.
	Name string
	// Progress is for people, for example "fetching the kernel module".
	Progress string
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("image %q is not ready yet: %s; the deploy goes on by itself", e.Name, e.Progress)
}

// Is makes errors.Is(err, ErrNotReady) true.
func (e *NotReadyError) Is(target error) bool { return target == ErrNotReady }

// failure makes an error of one of the kinds above, with a text for people. What
// the user can mend is Invalid, what may pass by itself is Unavailable.
func failure(kind error, text string) error {
	e := &baremetal.Error{Kind: baremetal.Invalid, Message: text, Err: kind}
	if errors.Is(kind, ErrNoSpace) {
		e.Kind = baremetal.Unavailable
	}
	return e
}

// refusef makes an error of kind ErrRefused.
func refusef(format string, args ...any) error {
	return failure(ErrRefused, "image source refused: "+fmt.Sprintf(format, args...))
}
