package roots

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// maxConfig bounds the configuration files that are read from a root, in bytes.
const maxConfig = 1 << 20

// mend makes the root of an image the root of one node: its own name, no
// identity that it would share with the other nodes of the image, no mounts of
// a card that is not there, and nothing that takes its network away.
func mend(t Tree, spec Spec) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"host name", func() error { return mendHostname(t, spec.Hostname) }},
		{"hosts", func() error { return mendHosts(t, spec.Hostname) }},
		{"fstab", func() error { return mendFstab(t) }},
		{"machine id", func() error { return mendMachineID(t) }},
		{"secrets", func() error { return mendSecrets(t) }},
		{"ssh host keys", func() error { return mendHostKeys(t, spec.Hostname) }},
		{"swap", func() error { return mendSwap(t) }},
		{"network", func() error { return mendNetwork(t, spec.MAC) }},
		{"phone-home", func() error { return mendPhoneHome(t, spec.PhoneHome) }},
		{"rescue user", func() error { return mendRescue(t, spec.Rescue) }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("adapting the %s of the root: %w", s.what, err)
		}
	}
	return nil
}

// readConfig returns the content of a regular file; exists is false if there is
// none of that name (a link that leads elsewhere is none).
func readConfig(t Tree, name string) (data []byte, mode fs.FileMode, exists bool, err error) {
	fi, err := t.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, err
	}
	if fi.Size() > maxConfig {
		return nil, 0, false, fmt.Errorf("%q has %d bytes, at most %d are read", name, fi.Size(), maxConfig)
	}
	r, err := t.Open(name)
	if err != nil {
		return nil, 0, false, err
	}
	defer r.Close()
	data, err = io.ReadAll(io.LimitReader(r, maxConfig))
	return data, fi.Mode().Perm(), true, err
}

// hasFolder tells whether name is a folder of the root.
func hasFolder(t Tree, name string) bool {
	fi, err := t.Stat(name)
	return err == nil && fi.IsDir()
}

func mendHostname(t Tree, hostname string) error {
	if hostname == "" || !hasFolder(t, "etc") {
		return nil
	}
	return t.WriteFile("etc/hostname", []byte(hostname+"\n"), 0o644, Owner{})
}

// mendHosts makes the node know its own name, as Debian does: at 127.0.1.1.
func mendHosts(t Tree, hostname string) error {
	if hostname == "" || !hasFolder(t, "etc") {
		return nil
	}
	data, _, exists, err := readConfig(t, "etc/hosts")
	if err != nil {
		return err
	}
	if !exists {
		data = []byte("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == "127.0.1.1" {
			continue
		}
		out.WriteString(line)
	}
	if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		out.WriteByte('\n')
	}
	names := hostname
	if short, _, ok := strings.Cut(hostname, "."); ok {
		names += " " + short
	}
	fmt.Fprintf(&out, "127.0.1.1\t%s\n", names)
	return t.WriteFile("etc/hosts", out.Bytes(), 0o644, Owner{})
}

// mendFstab takes out what the image mounted from its card: the root, the boot
// partition and swap. The node's root is on the network, and booting would wait
// for devices that never come.
func mendFstab(t Tree) error {
	data, mode, exists, err := readConfig(t, "etc/fstab")
	if err != nil || !exists {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if onCard(line) {
			out.WriteString("# not on this node: ")
		}
		out.WriteString(line)
	}
	if out.Len() == len(data) {
		return nil
	}
	return t.WriteFile("etc/fstab", []byte(out.String()), mode, Owner{})
}

// onCard tells whether a line of fstab(5) mounts something of a card.
func onCard(line string) bool {
	f := strings.Fields(line)
	if len(f) < 3 || strings.HasPrefix(f[0], "#") {
		return false
	}
	device, point, kind := f[0], path.Clean(f[1]), f[2]
	if kind == "swap" || point == "/" || point == "/boot" || strings.HasPrefix(point, "/boot/") {
		return true
	}
	if strings.HasPrefix(device, "/dev/mmcblk") {
		return true
	}
	// Whatever other disk the image knew, the node has not; and without nofail
	// its boot would end there.
	local := strings.HasPrefix(device, "/dev/") || slices.ContainsFunc([]string{"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="},
		func(kind string) bool { return strings.HasPrefix(device, kind) })
	return local && (len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), "nofail"))
}

// mendSwap ends the swap files of Raspberry Pi OS, which cannot be on NFS: that
// of dphys-swapfile, and since 2025 the one that rpi-swap puts behind compressed
// memory.
func mendSwap(t Tree) error {
	const name, key = "etc/dphys-swapfile", "CONF_SWAPSIZE="
	if isFile(t, "etc/rpi/swap.conf") || isFile(t, "usr/lib/systemd/system-generators/rpi-swap-generator") {
		err := t.WriteFile("etc/rpi/swap.conf.d/99-caddyshack.conf", []byte("# By Caddyshack: no swap file on a root that comes over the network.\n[Main]\nMechanism=zram\n"), 0o644, Owner{})
		if err != nil {
			return err
		}
	}
	data, mode, exists, err := readConfig(t, name)
	if err != nil || !exists {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), key) {
			line = "# not on this node: " + line
		}
		out.WriteString(line)
	}
	return t.WriteFile(name, []byte(strings.TrimRight(out.String(), "\n")+"\n"+key+"0\n"), mode, Owner{})
}

// mendMachineID takes the image's machine id away. systemd makes a new one if the
// file is empty; it is not removed, since an empty file means "not a first boot
// of a new installation". Others do not take an empty one: they get a new id.
func mendMachineID(t Tree) error {
	const id, dbus = "etc/machine-id", "var/lib/dbus/machine-id"
	if _, mode, exists, err := readConfig(t, id); err != nil {
		return err
	} else if exists {
		var fresh []byte
		if !hasSystemd(t) {
			fresh = []byte(strings.ReplaceAll(baremetal.NewUUID(), "-", "") + "\n")
		}
		if err := t.WriteFile(id, fresh, mode, Owner{}); err != nil {
			return err
		}
	}
	return removeFile(t, dbus)
}

// mendSecrets removes what an image must not give to all its nodes: seeds of
// random numbers, and what systemd and NetworkManager derive keys and addresses
// from. All of them are made anew when they are missing.
func mendSecrets(t Tree) error {
	for _, name := range []string{
		"var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "var/lib/urandom/random-seed", "var/lib/NetworkManager/secret_key",
	} {
		if err := removeFile(t, name); err != nil {
			return err
		}
	}
	return nil
}

// removeFile removes a regular file, if there is one of that name.
func removeFile(t Tree, name string) error {
	if !isFile(t, name) {
		return nil
	}
	return t.Remove(name)
}

// PhoneHomeFile is where a root says which URL its system asks for once it is up.
const PhoneHomeFile = "etc/caddyshack-phone-home"

func mendPhoneHome(t Tree, url string) error {
	if url == "" || !hasFolder(t, "etc") {
		return nil
	}
	return t.WriteFile(PhoneHomeFile, []byte(url+"\n"), 0o600, Owner{})
}
