package packettest

import (
	"bytes"
	"encoding/binary"
	"net"
)

// kind is what sort of frame it is.
type kind uint8

const (
	unicast   kind = iota
	broadcast      // of an unknown protocol
	arp            // who has …
	neighbour      // IPv6 neighbour solicitation, multicast
	flood          // from a MAC address never seen, to one never seen
	spoof          // broadcast, with the MAC address of the target, which is in another network
	kinds
)

func (k kind) String() string {
	return [...]string{"unicast", "broadcast", "ARP", "neighbour solicitation", "MAC flood", "spoofed source"}[k]
}

// mark is at the end of each frame, and tells which it is.
type mark struct {
	Phase        uint32
	From, Target uint8 // numbers of hosts
	Kind         kind
	Tags         [2]uint16 // as it was sent; noTag = none
}

const (
	noTag   = 0xffff
	magic   = "caddyshack frame"
	markLen = len(magic) + 11
	tagType = 0x8100
)

func (m mark) bytes() []byte {
	b := binary.BigEndian.AppendUint32([]byte(magic), m.Phase)
	b = append(b, m.From, m.Target, byte(m.Kind))
	b = binary.BigEndian.AppendUint16(b, m.Tags[0])
	return binary.BigEndian.AppendUint16(b, m.Tags[1])
}

// parseMark finds the mark of a frame that may have been padded.
func parseMark(frame []byte) (m mark, ok bool) {
	at := bytes.LastIndex(frame, []byte(magic))
	if at < 0 || len(frame) < at+markLen {
		return m, false
	}
	b := frame[at+len(magic):]
	m.Phase = binary.BigEndian.Uint32(b)
	m.From, m.Target, m.Kind = b[4], b[5], kind(b[6])
	m.Tags = [2]uint16{binary.BigEndian.Uint16(b[7:]), binary.BigEndian.Uint16(b[9:])}
	return m, m.Kind < kinds
}

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// build makes the frame of a mark.
func (m mark) build(from, target net.HardwareAddr, random uint64) []byte {
	src, dst := from, target
	etherType, body := uint16(0x88b5), []byte(nil) // for local experiments
	switch m.Kind {
	case broadcast:
		dst = broadcastMAC
	case arp:
		dst = broadcastMAC
		etherType = 0x0806
		body = append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, from...)
		body = append(body, 10, 0, 0, from[5], 0, 0, 0, 0, 0, 0, 10, 0, 0, target[5])
	case neighbour:
		dst = net.HardwareAddr{0x33, 0x33, 0xff, 0, 0, target[5]}
		etherType = 0x86dd
		body = solicitation(from, target)
	case flood:
		src, dst = madeUp(random), madeUp(random^0xffffffff)
	case spoof:
		src, dst = target, broadcastMAC
	}
	frame := append(append([]byte(nil), dst...), src...)
	for _, tag := range m.Tags {
		if tag != noTag {
			frame = binary.BigEndian.AppendUint16(frame, tagType)
			frame = binary.BigEndian.AppendUint16(frame, tag)
		}
	}
	frame = binary.BigEndian.AppendUint16(frame, etherType)
	frame = append(frame, body...)
	for len(frame) < 60 {
		frame = append(frame, 0)
	}
	return append(frame, m.bytes()...)
}

// madeUp is a locally administered MAC address.
func madeUp(random uint64) net.HardwareAddr {
	b := binary.BigEndian.AppendUint64(nil, random)
	return append(net.HardwareAddr{0x06}, b[3:]...)
}

// solicitation asks for the link-local address of target.
func solicitation(from, target net.HardwareAddr) []byte {
	linkLocal := func(mac net.HardwareAddr) []byte {
		return []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
	}
	src := linkLocal(from)
	dst := []byte{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[3], target[4], target[5]}
	icmp := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, linkLocal(target)...)
	icmp = append(append(icmp, 1, 1), from...)
	binary.BigEndian.PutUint16(icmp[2:], icmpChecksum(src, dst, icmp))
	header := []byte{0x60, 0, 0, 0, 0, byte(len(icmp)), 58, 255}
	return append(append(append(header, src...), dst...), icmp...)
}

func icmpChecksum(src, dst, icmp []byte) uint16 {
	pseudo := append(append(append([]byte(nil), src...), dst...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, 58)
	var sum uint32
	for _, part := range [][]byte{pseudo, icmp} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
