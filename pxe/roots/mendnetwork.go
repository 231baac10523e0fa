package roots

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A root over NFS is gone when its interface is taken down, be it only for the
// moment in which a network manager sets it up anew. The kernel has set it up
// already; whoever manages the network must leave it or take it over as it is.

// bootNames are the names that the interface may have: the kernel's, and those
// that systemd gives to a Pi's port.
func bootNames(mac string) []string {
	names := []string{"eth0", "end0"}
	if mac != "" {
		names = append(names, "enx"+strings.ReplaceAll(strings.ToLower(mac), ":", ""))
	}
	return names
}

func mendNetwork(t Tree, mac string) error {
	for _, mend := range []func(Tree, string) error{mendNetworkd, mendNetworkManager, mendIfupdown, mendDhcpcd, mendConnman, mendResolver} {
		if err := mend(t, mac); err != nil {
			return err
		}
	}
	return nil
}

// mendNetworkd lets systemd-networkd renew the address and keep it otherwise.
// The file's name comes before those of netplan and of people.
func mendNetworkd(t Tree, mac string) error {
	if !hasNetworkd(t) {
		return nil
	}
	match := "Name=" + strings.Join(append(bootNames(""), "enx*"), " ")
	if mac != "" {
		match = "MACAddress=" + mac
	}
	return t.WriteFile("etc/systemd/network/00-caddyshack-boot.network", fmt.Appendf(nil, `# By Caddyshack: the root comes over this interface, which stays up.
[Match]
%s

[Network]
DHCP=ipv4
KeepConfiguration=yes

[DHCPv4]
ClientIdentifier=mac
SendRelease=no
`, match), 0o644, Owner{})
}

func hasNetworkd(t Tree) bool {
	return isFile(t, "usr/lib/systemd/systemd-networkd") || isFile(t, "lib/systemd/systemd-networkd")
}

func hasNetworkManager(t Tree) bool { return isFile(t, "usr/sbin/NetworkManager") }

// mendNetworkManager keeps NetworkManager from the interface.
func mendNetworkManager(t Tree, mac string) error {
	if !hasNetworkManager(t) {
		return nil
	}
	devices := "interface-name:" + strings.Join(bootNames(""), ";interface-name:")
	if mac != "" {
		devices = "mac:" + mac
	}
	return t.WriteFile("etc/NetworkManager/conf.d/99-caddyshack.conf",
		[]byte("# By Caddyshack: the root comes over this interface, which stays as the kernel set it up.\n[keyfile]\nunmanaged-devices+="+devices+"\n"), 0o644, Owner{})
}

// mendIfupdown makes the interface one that ifupdown does nothing to: its DHCP
// client would begin with taking the address away, and even of one that is
// "manual" it takes the link down at the end, when the root is still needed.
func mendIfupdown(t Tree, mac string) error {
	files := []string{"etc/network/interfaces"}
	list, err := t.ReadDir("etc/network/interfaces.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, fi := range list {
		if fi.Mode().IsRegular() {
			files = append(files, path.Join("etc/network/interfaces.d", fi.Name()))
		}
	}
	for _, name := range files {
		data, mode, exists, err := readConfig(t, name)
		if err != nil {
			return err
		}
		if mended := mendInterfaces(string(data), bootNames(mac)); exists && mended != string(data) {
			if err := t.WriteFile(name, []byte(mended), mode, Owner{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// mendInterfaces takes the named interfaces out of those that are brought up, and
// later down, in the text of an interfaces(5). For who does so by hand their method
// is manual; the options of what they were are taken out.
func mendInterfaces(text string, names []string) string {
	var out strings.Builder
	ours := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		case f[0] == "iface" && len(f) >= 4:
			if ours = slices.Contains(names, f[1]); ours && f[3] != "manual" {
				line = strings.Join([]string{f[0], f[1], f[2], "manual\n"}, " ")
			}
		case f[0] == "auto" || strings.HasPrefix(f[0], "allow-"):
			ours = false
			kept := slices.DeleteFunc(slices.Clone(f), func(name string) bool { return slices.Contains(names, name) })
			if len(kept) == 1 && len(f) > 1 {
				line = "# not on this node: " + line
			} else if len(kept) < len(f) {
				line = strings.Join(kept, " ") + "\n"
			}
		case slices.Contains([]string{"mapping", "source", "source-directory", "rename", "template"}, f[0]) || strings.HasPrefix(f[0], "no-"):
			ours = false
		case ours:
			line = "# not on this node: " + line
		}
		out.WriteString(line)
	}
	return out.String()
}

// mendDhcpcd makes dhcpcd keep the address, come what may.
func mendDhcpcd(t Tree, _ string) error {
	const name, added = "etc/dhcpcd.conf", "\n# By Caddyshack: the root comes over the network.\nnolink\npersistent\n"
	data, mode, exists, err := readConfig(t, name)
	if err != nil || !exists || strings.Contains(string(data), added) {
		return err
	}
	// Options after an "interface" line would be for that one alone.
	return t.WriteFile(name, append([]byte(strings.TrimLeft(added, "\n")+"\n"), data...), mode, Owner{})
}

// mendConnman keeps ConnMan from the interface; the key takes beginnings of
// names.
func mendConnman(t Tree, _ string) error {
	const name, key = "etc/connman/main.conf", "NetworkInterfaceBlacklist"
	if !isFile(t, "usr/sbin/connmand") {
		return nil
	}
	data, mode, _, err := readConfig(t, name)
	if err != nil {
		return err
	}
	out, general := "", false
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), key) {
			line = "# not on this node: " + line
		}
		out += line
		if strings.TrimSpace(line) == "[General]" {
			out, general = out+key+"=eth0,end0,enx\n", true
		}
	}
	if !general {
		out = "[General]\n" + key + "=eth0,end0,enx\n" + out
	}
	return t.WriteFile(name, []byte(out), cmp.Or(mode, 0o644), Owner{})
}

// mendResolver lets the system find DNS servers where nobody else would write
// down those that the kernel got from DHCP.
func mendResolver(t Tree, _ string) error {
	const name = "etc/resolv.conf"
	if !hasFolder(t, "etc") || hasNetworkd(t) && !hasNetworkManager(t) {
		return nil
	}
	switch fi, err := t.Stat(name); {
	case err == nil && fi.Mode().IsRegular():
		data, _, _, err := readConfig(t, name)
		if err != nil || strings.Contains("\n"+string(data), "\nnameserver") && !strings.Contains(string(data), "NetworkManager") {
			return err
		}
	case err == nil && !hasNetworkManager(t):
		return nil // a link to what some program of the image writes
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Linux's Documentation/admin-guide/nfs/nfsroot.rst.
	return t.Symlink(name, "/proc/net/pnp")
}
