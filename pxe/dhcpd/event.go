package dhcpd

import (
	"net/netip"
	"time"
)

// Kind says what an [Event] reports.
type Kind string

// What can happen.
const (
	// Offered: an address was offered, or, by a proxy, the boot server named.
	Offered Kind = "offered"
	// Acked: the machine has taken its address.
	Acked Kind = "acked"
	// Refused: the machine asked for another address than its own.
	Refused Kind = "refused"
	// Stranger: the firmware of an unknown Pi asked, and got no answer.
	Stranger Kind = "stranger"
	// Conflict: two machines claim to be one; Detail says how.
	Conflict Kind = "conflict"
	// WrongSerial: the machine has another serial number than is registered.
	WrongSerial Kind = "wrong-serial"
	// InUse: the machine found that another one uses its address.
	InUse Kind = "in-use"
	// NoRoom: no address is left for an unknown Pi.
	NoRoom Kind = "no-room"
	// Foreign: another DHCP server answers, or was chosen by a machine.
	Foreign Kind = "foreign"
	// Alone: a proxy hears no server that would give addresses.
	Alone Kind = "alone"
)

// Event reports what a server saw or did. It is plain data.
type Event struct {
	Time      time.Time `json:"time"`
	Kind      Kind      `json:"kind"`
	Interface string    `json:"interface,omitempty"`
	// MAC, Serial and Model are the asker's, as it claims them.
	MAC    string `json:"mac,omitempty"`
	Serial string `json:"serial,omitempty"`
	Model  string `json:"model,omitempty"`
	// AltSerial and Revision are as in Asker.
	AltSerial string `json:"alt_serial,omitempty"`
	Revision  uint32 `json:"revision,omitempty"`
	// ID is the registered machine; empty for a stranger.
	ID string `json:"id,omitempty"`
	// Other is the registered machine that it is in conflict with: the one whose
	// serial number it tells.
	Other string `json:"other,omitempty"`
	// Boot tells whether the firmware of a Pi asks, or a system.
	Boot bool `json:"boot,omitempty"`
	// Address is the one that was given or is the matter.
	Address netip.Addr `json:"address"`
	// Server and ServerMAC name a foreign server.
	Server    netip.Addr `json:"server"`
	ServerMAC string     `json:"server_mac,omitempty"`
	// Detail says in words what is wrong and what to do.
	Detail string `json:"detail,omitempty"`
	// Suppressed is how many like events were left out before this one.
	Suppressed int64 `json:"suppressed,omitempty"`
}
