package console

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// The console types, as Ironic spells them in console_info.
const (
	// TypeSocat is a raw TCP port; its URL is tcp://HOST:PORT.
	TypeSocat = "socat"
	// TypeShellinabox is a web page; its URL is http(s)://….
	TypeShellinabox = "shellinabox"
)

// The states of a serial line.
const (
	LineUp   = "up"
	LineDown = "down"
)

// ErrNotRunning is returned by Get for a node without a running console.
var ErrNotRunning = errors.New("the console is not running")

// Consoles starts and stops consoles. [Service] implements it in this process.
type Consoles interface {
	// Start makes the console of spec's node available and returns where.
	// Repeating it with the same spec changes nothing and returns the same
	// Info; with another spec it replaces the console. A serial line that
	// cannot be opened now is no error: it is tried again until Stop, and
	// viewers are told.
	Start(ctx context.Context, spec Spec) (Info, error)
	// Stop ends the node's console and drops its viewers. A console that is
	// not running is no error.
	Stop(ctx context.Context, nodeID string) error
	// Get tells about one console, or returns an error that is ErrNotRunning.
	Get(ctx context.Context, nodeID string) (Status, error)
	// List tells about all consoles, ordered by node id.
	List(ctx context.Context) ([]Status, error)
}

// Spec asks for one console.
type Spec struct {
	// NodeID is the node's UUID. It also names the folder of the kept log.
	NodeID string `json:"node_id"`
	// Name is shown to people; empty means NodeID.
	Name string `json:"name,omitempty"`
	// Port is the serial line: the absolute path of a terminal device, best
	// one below /dev/serial/by-path, or tcp://HOST:PORT.
	Port string `json:"port"`
	// Type is TypeSocat or TypeShellinabox.
	Type string `json:"type"`
	// BindPort is the TCP port of a TypeSocat console; 0 takes a free one
	// from the Service's range.
	BindPort int `json:"bind_port,omitempty"`
}

// Info is Ironic's console_info: how a person reaches a console.
type Info struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

// Status describes a running console.
type Status struct {
	NodeID string `json:"node_id"`
	Name   string `json:"name"`
	Port   string `json:"port"`
	Info   Info   `json:"info"`
	// Line is LineUp or LineDown, LineDetail the reason for the latter.
	Line       string `json:"line"`
	LineDetail string `json:"line_detail,omitempty"`
	// Viewers counts those that watch now.
	Viewers int `json:"viewers"`
}

// nodeIDPattern admits UUIDs and other names that are safe as a folder's name
// and as one path element of a URL.
var nodeIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (s Spec) check() error {
	if !nodeIDPattern.MatchString(s.NodeID) {
		return fmt.Errorf("node id %q: want 1 to 128 letters, digits, dots, dashes or underscores", s.NodeID)
	}
	if err := CheckPort(s.Port); err != nil {
		return err
	}
	switch s.Type {
	case TypeSocat, TypeShellinabox:
	default:
		return fmt.Errorf("console type %q: want %q or %q", s.Type, TypeSocat, TypeShellinabox)
	}
	if s.BindPort < 0 || s.BindPort > 65535 {
		return fmt.Errorf("console bind port %d: want 0 to 65535", s.BindPort)
	}
	return nil
}

// displayName is what people read; control characters would let a name forge
// terminal output in the in-band messages.
func (s Spec) displayName() string {
	if s.Name == "" {
		return s.NodeID
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s.Name)
}
