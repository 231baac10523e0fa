package roots

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// maxCmdline bounds the whole command line in bytes: a 64-bit kernel takes
// 2048, of which the firmware puts several hundred before ours.
const maxCmdline = 1600

// cmdline is the kernel command line: what the image asks for, what the node's
// root needs, and what the deploy adds. Of the kernel's consoles the last is the
// system's own. rsize and wsize are given since the kernel's default for a root
// is 4 KiB; the ports, since there is no portmapper.
func (s BootSpec) cmdline(image []string) ([]byte, error) {
	words := slices.Concat(image, []string{
		"console=" + s.Model.console() + ",115200", "root=/dev/nfs",
		fmt.Sprintf("nfsroot=%s:%s,vers=3,tcp,nolock,noacl,port=%d,mountport=%d,rsize=131072,wsize=131072",
			s.Server, cmp.Or(s.Path, ExportPath(s.NodeID)), s.NFSPort, s.MountPort),
		"rw", "ip=dhcp", "rootwait", "panic=10",
	})
	for _, p := range strings.Fields(s.KernelParams) {
		if p != defaultParams {
			words = append(words, p)
		}
	}
	line := strings.Join(words, " ") + "\n"
	if len(line) > maxCmdline {
		return nil, baremetal.Errorf(baremetal.Invalid,
			"the kernel command line has %d bytes, at most %d fit; shorten kernel_append_params or the image's cmdline.txt", len(line), maxCmdline)
	}
	return []byte(line), nil
}

// defaultParams stands in kernel_append_params for what the server would add
// anyway, as in Ironic. Here that is always there.
const defaultParams = "%default%"

// imageCmdline returns the words of the image's own cmdline.txt that hold for a
// root on the network, too.
func imageCmdline(t Tree, folder string, c firmwareConfig) ([]string, error) {
	name := cmp.Or(c.cmdline, "cmdline.txt")
	for _, prefix := range append(slices.Clone(c.prefixes), "") {
		// Clean, so that it stays in the folder.
		data, _, exists, err := readConfig(t, path.Join(folder, path.Clean("/" + prefix + name)[1:]))
		if err != nil {
			return nil, err
		}
		if exists {
			first, _, _ := strings.Cut(string(data), "\n")
			return slices.DeleteFunc(strings.Fields(first), notForNetwork), nil
		}
	}
	return nil, nil
}

// notForNetwork tells whether a word of an image's command line is about its
// card, sets what we set, or cannot be passed on.
func notForNetwork(word string) bool {
	// Half of a pair of quotes would swallow what follows.
	if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r > '~' || r == '"' }) {
		return true
	}
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "root", "rootfstype", "rootflags", "rootwait", "rootdelay", "ro", "rw", "nfsroot", "nfsaddrs", "ip", "panic", "resume", "resume_offset":
		return true
	case "ds", "network-config": // cloud-init's, which gets its seed from us
		return true
	case "console":
		return !strings.HasPrefix(value, "tty") || strings.HasPrefix(value, "ttyS") || strings.HasPrefix(value, "ttyAMA")
	case "init": // what enlarges the root on its card, and restarts
		return strings.Contains(value, "init_resize") || strings.HasSuffix(value, "/firstboot")
	}
	return strings.HasPrefix(name, "fsck.") || strings.HasPrefix(name, "systemd.run")
}
