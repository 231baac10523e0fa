// Package ingress makes listeners deaf to what comes in from some networks.
//
// Linux answers for each of its addresses on all of its interfaces, so that a
// listener at one address is reached from every network that the machine is in.
// A Filter is attached to the listener's socket: the kernel drops what the
// networks send to it, from the first packet of a connection on and without an
// answer, as if nobody were there. It needs no privileges and changes nothing of
// the machine.
package ingress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Filter says what is dropped. The zero value drops nothing.
type Filter struct {
	// Sources are IPv4 networks: what has an address of theirs is dropped,
	// wherever it comes in.
	Sources []netip.Prefix
	// Interfaces are their indexes: what comes in there is dropped, whoever it
	// says it is from.
	Interfaces []int
}

// On makes the filter of networks in which this machine has an address, each
// with its length ("10.20.0.1/24"), and of the interfaces that have these
// addresses now. Without networks it is empty.
func On(networks []netip.Prefix) (Filter, error) {
	var f Filter
	for _, p := range networks {
		f.Sources = append(f.Sources, p.Masked())
		link, err := Interface(p.Addr())
		if err != nil {
			return f, err
		}
		if link != nil && !slices.Contains(f.Interfaces, link.Index) {
			f.Interfaces = append(f.Interfaces, link.Index)
		}
	}
	return f, nil
}

// Interface finds the one that has the address; nil = none has, or it is the
// loopback interface, on which nobody comes in.
func Interface(a netip.Addr) (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing this machine's interfaces: %w", err)
	}
	for i := range all {
		if all[i].Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := all[i].Addrs()
		if err != nil {
			return nil, fmt.Errorf("listing the addresses of %s: %w", all[i].Name, err)
		}
		for _, at := range addrs {
			if n, ok := at.(*net.IPNet); ok && n.IP.Equal(a.AsSlice()) {
				return &all[i], nil
			}
		}
	}
	return nil, nil
}

// Empty tells whether nothing is dropped.
func (f Filter) Empty() bool { return len(f.Sources) == 0 && len(f.Interfaces) == 0 }

// Control is for net.ListenConfig: the filter is there before the socket is bound.
func (f Filter) Control(_, address string, c syscall.RawConn) error {
	if f.Empty() {
		return nil
	}
	program, err := bpf.Assemble(f.program())
	if err != nil {
		return fmt.Errorf("making a filter for %s: %w", address, err)
	}
	code := make([]unix.SockFilter, len(program))
	for i, p := range program {
		code[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(code)), Filter: unsafe.SliceData(code)})
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("keeping %d networks from %s: %w", len(f.Sources), address, err)
	}
	return nil
}

// What the kernel's filters know of a packet (linux/filter.h, RFC 791).
const (
	networkHeader = 0xfff00000 // SKF_NET_OFF
	sourceAddress = 12         // in an IPv4 header
	protocolIPv4  = 0x0800
)

// program is the filter in the kernel's terms. It has no long jumps, which
// could not be expressed.
func (f Filter) program() []bpf.Instruction {
	const drop, keep = 0, 0xffffffff // bytes of the packet
	p := []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}}
	for _, index := range f.Interfaces {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(index), SkipFalse: 1}, bpf.RetConstant{Val: drop})
	}
	p = append(p, bpf.LoadExtension{Num: bpf.ExtProto}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolIPv4, SkipTrue: 1}, bpf.RetConstant{Val: keep})
	for _, source := range f.Sources {
		a := source.Masked().Addr().As4()
		p = append(p, bpf.LoadAbsolute{Off: networkHeader + sourceAddress, Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: ^uint32(0) << (32 - source.Bits())},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(a[:]), SkipFalse: 1}, bpf.RetConstant{Val: drop})
	}
	return append(p, bpf.RetConstant{Val: keep})
}
