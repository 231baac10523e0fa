package netns

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setTxChecksums is ETHTOOL_STXCSUM of linux/ethtool.h.
const setTxChecksums = 0x17

// withoutChecksumOffload is `ethtool -K NAME tx off`.
func withoutChecksumOffload(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	value := struct{ cmd, data uint32 }{setTxChecksums, 0}
	var request struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	request.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return os.NewSyscallError("SIOCETHTOOL", errno)
	}
	return nil
}
