package tftpd_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/tftpd"
)

// cpu is the time that this process has used.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLockStep measures whole files fetched in lock-step over loopback.
// The CPU time has the clients in it, which use plain blocking sockets, as
// cheap as they can be.
func BenchmarkLockStep(b *testing.B) {
	const size = 16 << 20
	for _, clients := range []int{1, 13} {
		for _, block := range []int{512, 1024, 1468} {
			b.Run(fmt.Sprintf("clients=%d/block=%d", clients, block), func(b *testing.B) {
				f := start(b, "", nil)
				data := pattern(size)
				for i := range clients {
					f.put(b, pi(fmt.Sprint(i), fmt.Sprintf("127.77.9.%d", i+1), fmt.Sprintf("%08x", i), map[string]tftpd.Content{"kernel8.img": {Data: data}}))
				}
				b.SetBytes(int64(size * clients))
				before := cpu(b)
				b.ResetTimer()
				for range b.N {
					var wg sync.WaitGroup
					for i := range clients {
						wg.Go(func() {
							n, err := drain(fmt.Sprintf("127.77.9.%d", i+1), f.Addr(), fmt.Sprintf("%08x/kernel8.img", i), block)
							if err != nil || n != size {
								b.Errorf("client %d: %d bytes, %v", i, n, err)
							}
						})
					}
					wg.Wait()
				}
				used := cpu(b) - before
				b.ReportMetric(float64(used.Milliseconds())/(float64(size*clients*b.N)/1e6), "cpu-ms/MB")
			})
		}
	}
}

// drain fetches a file with blocking system calls, and counts its bytes.
func drain(local string, server netip.AddrPort, name string, block int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	tv := unix.Timeval{Sec: 5}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return 0, err
	}
	from := &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(local).To4())}
	if err := unix.Bind(fd, from); err != nil {
		return 0, err
	}
	to := &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}
	if err := unix.Sendto(fd, rrq(name, "octet", "blksize", fmt.Sprint(block)), 0, to); err != nil {
		return 0, err
	}
	buf := make([]byte, 4+block)
	ack := []byte{0, 4, 0, 0}
	total := 0
	for {
		n, src, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) { // the runtime's own signals
			continue
		}
		if err != nil {
			return total, err
		}
		switch binary.BigEndian.Uint16(buf) {
		case 6: // connected from here on, which is cheaper
			if err := unix.Connect(fd, src); err != nil {
				return total, err
			}
		case 3:
			copy(ack[2:], buf[2:4])
			total += n - 4
		default:
			return total, fmt.Errorf("packet % x", buf[:min(n, 32)])
		}
		if _, err := unix.Write(fd, ack); err != nil {
			return total, err
		}
		if buf[1] == 3 && n < 4+block {
			return total, nil
		}
	}
}
