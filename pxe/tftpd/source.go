package tftpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Source decides what a client may read. Implementations are called from many
// goroutines at once and should answer within a few seconds; the context ends
// when the server gives up waiting.
type Source interface {
	// Open looks up the file that client asks for. The name has passed
	// [CleanName]. A file that is not there, or that the client may not know
	// of, is reported as a [*LookupError] around [ErrNotFound] or [ErrDenied];
	// the client is told "file not found" in every case.
	Open(ctx context.Context, client netip.Addr, name string) (*File, error)
}

// Knower is an optional ability of a [Source]: it tells cheaply whether an
// address belongs to a registered machine. Requests of registered machines
// have their own limits, so that a flood from strangers does not starve them.
type Knower interface {
	Knows(client netip.Addr) bool
}

// File is one opened file.
type File struct {
	// ID is the machine whose tree the file is in.
	ID string
	// Name is the file's name in that tree, without the prefix.
	Name string
	// Size is the exact number of bytes that Body yields.
	Size int64
	// Body is read once, from the start, and then closed. All transfers wait
	// for a Read, so that it may take no longer than one of a local disk.
	Body io.ReadCloser
}

var (
	// ErrNotFound: there is no such file for this client.
	ErrNotFound = errors.New("file not found")
	// ErrDenied: the file belongs to another machine than the one that asks.
	ErrDenied = errors.New("file belongs to another machine")
)

// LookupError says why a [Source] has no file for a request, and what it knows
// of the machines concerned.
type LookupError struct {
	// ID is the machine that asked, or, if the client is not registered, the
	// one whose prefix it used. Empty if neither is known.
	ID string
	// Owner is the machine that the name belongs to, when denied.
	Owner string
	// Name is the name looked up, without the machine's own prefix.
	Name string
	// Err is [ErrNotFound], [ErrDenied] or the cause of a failed opening.
	Err error
}

// Error implements error.
func (e *LookupError) Error() string {
	return fmt.Sprintf("opening %q: %v", e.Name, e.Err)
}

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }
