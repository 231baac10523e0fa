package qemu

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"caddyshack/sim/pi"
)

// hostAddress is where a guest on QEMU's user network finds the host's loopback.
const hostAddress = "10.0.2.2"

// network makes the guest's network: the value of -netdev, the command line
// for its kernel, and what ends the relays.
func (m *Machine) network(ctx context.Context, l pi.Loaded) (netdev, cmdline string, end func(), err error) {
	if m.cfg.TAP != "" {
		return fmt.Sprintf("tap,ifname=%s,script=no,downscript=no", m.cfg.TAP), l.Cmdline, func() {}, nil
	}
	netdev = "user"
	if m.cfg.SSHPort != 0 && m.sshFree(ctx, l.Address) {
		netdev += fmt.Sprintf(",hostfwd=tcp:%s:%d-:22", l.Address, m.cfg.SSHPort)
	}
	if !strings.Contains(l.Cmdline, "root=/dev/nfs") {
		return netdev, l.Cmdline, func() {}, nil
	}
	root, err := pi.ParseRoot(l.Cmdline, l.Address)
	if err != nil {
		return "", "", nil, err
	}
	files, err := startRelay(ctx, l.Address, netip.AddrPortFrom(root.Server, root.Port), m.log)
	if err != nil {
		return "", "", nil, err
	}
	mount, end := files, files.close
	if root.MountPort != root.Port {
		if mount, err = startRelay(ctx, l.Address, netip.AddrPortFrom(root.Server, root.MountPort), m.log); err != nil {
			files.close()
			return "", "", nil, err
		}
		end = func() { files.close(); mount.close() }
	}
	return netdev, relayedRoot(l.Cmdline, root.Path, files.port, mount.port), end, nil
}

// relayedRoot is the command line with the NFS server replaced by the relays.
func relayedRoot(cmdline, path string, port, mountPort uint16) string {
	args := strings.Fields(cmdline)
	for i, arg := range args {
		value, ok := strings.CutPrefix(arg, "nfsroot=")
		if !ok {
			continue
		}
		_, opts, _ := strings.Cut(value, ",")
		kept := []string{"nfsroot=" + hostAddress + ":" + path}
		for opt := range strings.SplitSeq(opts, ",") {
			if name, _, _ := strings.Cut(opt, "="); name != "port" && name != "mountport" && name != "" {
				kept = append(kept, opt)
			}
		}
		args[i] = strings.Join(append(kept, "port="+strconv.Itoa(int(port)), "mountport="+strconv.Itoa(int(mountPort))), ",")
	}
	return strings.Join(args, " ")
}

// sshFree tells whether QEMU will get the port, without which it does not start.
func (m *Machine) sshFree(ctx context.Context, addr netip.Addr) bool {
	at := netip.AddrPortFrom(addr, m.cfg.SSHPort).String()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	if err != nil {
		m.log.Warn("the guest's ssh is not reached from outside, as the port is taken", "address", at, "err", err)
		return false
	}
	_ = l.Close()
	return true
}
