package baremetal

import (
	"regexp"
	"strings"

	"github.com/google/uuid"
)

var nodeName = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,255}$`)

// reservedNodeNames are parts of the API's own paths.
var reservedNodeNames = map[string]bool{
	"detail": true, "maintenance": true, "management": true, "states": true, "validate": true, "vendor_passthru": true,
	"ports": true, "portgroups": true, "vifs": true, "volume": true, "traits": true, "bios": true, "allocation": true,
	"history": true, "inventory": true, "children": true, "firmware": true, "vmedia": true,
}

// NewUUID returns a random UUID.
func NewUUID() string { return uuid.NewString() }

// IsUUID tells whether s is a UUID in the usual form of 36 characters.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	return uuid.Validate(s) == nil
}

// ValidName tells whether s can be the logical name of a resource: RFC 3986
// unreserved characters, at most 255, and not looking like a UUID.
func ValidName(s string) bool { return nodeName.MatchString(s) && !IsUUID(s) }

// ReservedNodeName tells whether s is a word of the API's paths.
func ReservedNodeName(s string) bool { return reservedNodeNames[s] }

var mac = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)

// ParseMAC returns the address in lower case, as it is stored and shown.
func ParseMAC(s string) (string, error) {
	l := strings.ToLower(s)
	if !mac.MatchString(l) {
		return "", Errorf(Invalid, "Expected a MAC address but received %s.", s)
	}
	return l, nil
}
