package hostnfs

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// WatchMounts tells of every node that connects to the NFS port of this host,
// until ctx ends. A Linux client connects there once MOUNT has granted it its
// root, so this is the sign of a mount that all servers have in common; a
// connection that is made anew later looks the same. Connections that exist at
// the start are told, since they may have come while nobody watched.
func (x *Exports) WatchMounts(ctx context.Context, port uint16, mounted func(nodeID string)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	known := map[netip.AddrPort]bool{}
	for {
		now, err := connected(port)
		if err != nil {
			return fmt.Errorf("watching NFS connections: %w", err)
		}
		for c := range now {
			if known[c] {
				continue
			}
			if id, ok := x.nodeOf(c.Addr()); ok {
				mounted(id)
			}
		}
		known = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// connected returns the clients with a connection to a TCP port of this host.
func connected(port uint16) (map[netip.AddrPort]bool, error) {
	out := map[netip.AddrPort]bool{}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		err = readConnections(f, port, out)
		_ = f.Close() // only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// readConnections reads a table as in /proc/net/tcp: a heading, then lines of
// number, local and remote address, state and more, all hexadecimal.
func readConnections(r io.Reader, port uint16, out map[netip.AddrPort]bool) error {
	const established = "01"
	s := bufio.NewScanner(r)
	s.Scan()
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 || f[3] != established {
			continue
		}
		local, err := parseEndpoint(f[1])
		if err != nil {
			return err
		}
		if local.Port() != port {
			continue
		}
		remote, err := parseEndpoint(f[2])
		if err != nil {
			return err
		}
		out[remote] = true
	}
	return s.Err()
}

// parseEndpoint reads ADDRESS:PORT. The address is in words of 32 bits, each in
// the byte order of the machine; all machines we run on are little endian.
func parseEndpoint(s string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	p, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no endpoint", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.LittleEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no endpoint", s)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}
