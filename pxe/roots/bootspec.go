package roots

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"caddyshack/baremetal"
)

// BootSpec says how a node boots from its root.
type BootSpec struct {
	NodeID string `json:"node_id"`
	// Client is the node's address. Nobody else may mount the root or fetch
	// the boot files.
	Client netip.Addr `json:"client"`
	// Learn says that the address is not ours to give and may be found out
	// later: without a Client nothing is opened yet.
	Learn bool `json:"learn,omitempty"`
	// MAC and Serial are what the node's firmware may put before file names;
	// either may be empty. Serial is hexadecimal, of 8 or 16 digits.
	MAC    string `json:"mac,omitempty"`
	Serial string `json:"serial,omitempty"`
	// Model is what the node is; empty means that it is not known.
	Model Model `json:"model,omitempty"`
	// Server is the address of the NFS server as the node sees it.
	Server netip.Addr `json:"server"`
	// OwnServer says that Server is the server's address in the node's network,
	// and not the one that most nodes see.
	OwnServer bool `json:"own_server,omitempty"`
	// NFSPort and MountPort are the server's ports; 0 means 2049, and the
	// same as NFSPort.
	NFSPort   uint16 `json:"nfs_port,omitempty"`
	MountPort uint16 `json:"mount_port,omitempty"`
	// Path is what the node mounts; "" means ExportPath of the node. It is set
	// by Publish where Exports says so.
	Path string `json:"path,omitempty"`
	// KernelParams is put at the end of the kernel command line (Ironic's
	// kernel_append_params); see CheckKernelParams.
	KernelParams string `json:"kernel_params,omitempty"`
	// ShutdownPin is the GPIO by which the backplane asks the system to shut
	// down; 0 means 3, a negative one none.
	ShutdownPin int `json:"shutdown_pin,omitempty"`
	// PoweroffPin is the GPIO by which the system tells that it has halted;
	// 0 means 26, a negative one none.
	PoweroffPin int `json:"poweroff_pin,omitempty"`
}

// maxKernelParams bounds kernel_append_params in bytes. The kernel takes 2048
// in all, of which the firmware's own part needs several hundred.
const maxKernelParams = 1024

// CheckKernelParams returns an error of kind Invalid if params cannot be put at
// the end of a kernel command line as it is: it must be one line of printable
// ASCII, without quotes, not too long, and must leave alone what says where the
// root is.
func CheckKernelParams(params string) error {
	if len(params) > maxKernelParams {
		return baremetal.Errorf(baremetal.Invalid, "kernel_append_params has %d bytes, at most %d are accepted", len(params), maxKernelParams)
	}
	for _, c := range []byte(params) {
		switch {
		case c < ' ' || c > '~':
			return baremetal.Errorf(baremetal.Invalid, "kernel_append_params holds the character %q; it must be one line of printable ASCII", c)
		case strings.IndexByte("\"'`\\", c) >= 0:
			return baremetal.Errorf(baremetal.Invalid, "kernel_append_params holds the character %q; quotes and backslashes are not accepted", c)
		}
	}
	for _, f := range strings.Fields(params) {
		switch name, _, _ := strings.Cut(f, "="); name {
		case "root", "rootfstype", "rootflags", "nfsroot", "ip", "nfsaddrs":
			return baremetal.Errorf(baremetal.Invalid, "kernel_append_params sets %q, which is given by the deploy; leave it out", name)
		}
	}
	return nil
}

// check completes and checks s.
func (s BootSpec) check() (BootSpec, error) {
	invalid := func(format string, args ...any) (BootSpec, error) {
		return BootSpec{}, baremetal.Errorf(baremetal.Invalid, format, args...)
	}
	s.Client, s.Server = s.Client.Unmap(), s.Server.Unmap()
	switch {
	case s.Client.IsUnspecified() || !s.Client.IsValid() && !s.Learn:
		return invalid("the node has no address yet; its root is opened to one address alone")
	case !s.Server.IsValid() || s.Server.IsUnspecified():
		return invalid("the address of the NFS server is not set; set the one that nodes see in the configuration")
	case !s.Server.Is4():
		return invalid("the NFS server's address %s is not IPv4, which a Pi's kernel needs for its root", s.Server)
	}
	if s.MAC != "" {
		mac, err := net.ParseMAC(s.MAC)
		if err != nil || len(mac) != 6 {
			return invalid("%q is not a MAC address", s.MAC)
		}
		s.MAC = mac.String()
	}
	if s.Serial != "" {
		s.Serial = strings.ToLower(strings.TrimPrefix(s.Serial, "0x"))
		if ok, _ := regexp.MatchString(`^[0-9a-f]{8,16}$`, s.Serial); !ok {
			return invalid("serial number %q is not of 8 to 16 hexadecimal digits", s.Serial)
		}
	}
	if s.NFSPort == 0 {
		s.NFSPort = 2049
	}
	if s.MountPort == 0 {
		s.MountPort = s.NFSPort
	}
	return s, errors.Join(s.Model.check(), CheckKernelParams(s.KernelParams))
}

// prefixes are the folders that the firmware may ask in: the last 8 digits of
// the serial number, or the MAC address.
func (s BootSpec) prefixes() []string {
	var p []string
	if s.Serial != "" {
		p = append(p, s.Serial[len(s.Serial)-8:])
	}
	if s.MAC != "" {
		p = append(p, strings.ReplaceAll(s.MAC, ":", "-"))
	}
	return p
}
