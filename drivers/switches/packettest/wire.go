package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"caddyshack/internal/netns"
)

// wire sends and receives raw frames on one interface.
type wire struct{ fd int }

// receiveBuffer is large, so that no frame is lost that should be judged.
const receiveBuffer = 16 << 20

func openWire(ns *netns.NS, name string) (*wire, error) {
	w := &wire{}
	err := ns.Do(func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return os.NewSyscallError("socket", err)
		}
		err = errors.Join(
			unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1), // where the kernel puts the outer tag
			unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
			unix.SetsockoptPacketMreq(w.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
				&unix.PacketMreq{Ifindex: int32(link.Index), Type: unix.PACKET_MR_PROMISC}),
			unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50000}), // to see the end
			unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}),
		)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s for frames: %w", name, err)
	}
	return w, nil
}

func (w *wire) send(frame []byte) error {
	_, err := unix.Write(w.fd, frame)
	if errors.Is(err, unix.ENOBUFS) {
		return nil // a full queue loses frames, as on any wire
	}
	return err
}

// receive returns a frame and its tags, or no frame after a short time.
func (w *wire) receive(buf []byte) (frame []byte, tags []uint16, err error) {
	oob := make([]byte, 256)
	n, oobn, _, _, err := unix.Recvmsg(w.fd, buf, oob, 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	frame = buf[:n]
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
			if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
				tags = append(tags, aux.Vlan_tci&0xfff)
			}
		}
	}
	for at := 12; at+4 <= n && binary.BigEndian.Uint16(frame[at:]) == tagType; at += 4 {
		tags = append(tags, binary.BigEndian.Uint16(frame[at+2:])&0xfff)
	}
	return frame, tags, nil
}

func (w *wire) close() { _ = unix.Close(w.fd) }

// drops counts the frames that were lost because nobody fetched them.
func (w *wire) drops() (uint32, error) {
	s, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, err
	}
	return s.Drops, nil
}
