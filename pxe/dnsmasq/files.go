// Package dnsmasq gives a dnsmasq that somebody else runs what it needs to
// serve the Pis: a file of hosts, with the address of each machine, and a file
// of options, which tell their firmware where the boot files are. dnsmasq reads
// both again when it gets SIGHUP.
package dnsmasq

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"caddyshack/pxe/dhcpd"
)

// Tags in dnsmasq's configuration: Tag is set for the machines of the hosts
// file, BootTag for firmware that wants to boot.
const (
	Tag     = "caddyshack"
	BootTag = "caddyshack-boot"
)

// Files are what is written. Its methods may be called from many goroutines.
type Files struct {
	// Hosts and Options are what dnsmasq's configuration names as dhcp-hostsfile
	// and dhcp-optsfile.
	Hosts, Options string
	// PIDFile holds the number of dnsmasq's process.
	PIDFile string
	// TFTP is the address of the TFTP server.
	TFTP netip.Addr

	mu      sync.Mutex
	pending bool // dnsmasq has not been told of what was written last
}

// Config returns the lines that dnsmasq's own configuration needs.
func (f *Files) Config() string {
	return fmt.Sprintf("dhcp-vendorclass=set:%s,PXEClient\ndhcp-hostsfile=%s\ndhcp-optsfile=%s\n", BootTag, f.Hosts, f.Options)
}

// Write brings both files up to date and has dnsmasq read them. Nothing is
// done if nothing has changed and dnsmasq has been told.
func (f *Files) Write(list []dhcpd.Reservation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, text := range map[string][]byte{f.Hosts: hosts(list), f.Options: f.options()} {
		changed, err := replace(path, text)
		if err != nil {
			return fmt.Errorf("writing the files of dnsmasq: %w; make the folder and let this user write there", err)
		}
		f.pending = f.pending || changed
	}
	if !f.pending {
		return nil
	}
	if err := f.reload(); err != nil {
		return err
	}
	f.pending = false
	return nil
}

// hosts lists the machines. A name that dnsmasq would not take is left out.
func hosts(list []dhcpd.Reservation) []byte {
	var b bytes.Buffer
	for i := range list {
		r := &list[i]
		fmt.Fprintf(&b, "%s,set:%s", r.MAC, Tag)
		if r.Address.IsValid() {
			fmt.Fprintf(&b, ",%s", r.Address)
		}
		if plainName(r.Name) {
			fmt.Fprintf(&b, ",%s", r.Name)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// plainName tells whether a host name is of letters, digits and hyphens.
func plainName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && !strings.HasPrefix(s, "-")
}

// options are for the firmware of our machines alone.
func (f *Files) options() []byte {
	var b bytes.Buffer
	for _, o := range []string{
		"60,PXEClient", "43," + hex(dhcpd.BootMenu()), "option:tftp-server," + f.TFTP.String(), "option:server-ip-address," + f.TFTP.String(),
	} {
		fmt.Fprintf(&b, "tag:%s,tag:%s,%s\n", Tag, BootTag, o)
	}
	return b.Bytes()
}

func hex(v []byte) string {
	s := make([]string, len(v))
	for i, c := range v {
		s[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(s, ":")
}

// replace writes a file in one piece if it differs.
func replace(path string, text []byte) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, text) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return false, err
	}
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(0o644) // dnsmasq reads it as a user of its own
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the error at hand says more
	}
	return err == nil, err
}

// reload sends SIGHUP. A dnsmasq that does not run reads the files when it starts.
func (f *Files) reload() error {
	text, err := os.ReadFile(f.PIDFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dnsmasq does not run (there is no %s): start it, or correct dhcp.dnsmasq_pid_file", f.PIDFile)
	}
	if err != nil {
		return fmt.Errorf("telling dnsmasq: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("telling dnsmasq: %s holds %.20q and no process number", f.PIDFile, text)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("telling dnsmasq (process %d of %s): %w; start it, or run as root or as its user", pid, f.PIDFile, err)
	}
	return nil
}
