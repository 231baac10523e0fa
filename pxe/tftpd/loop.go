package tftpd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// loop moves all transfers on, on one goroutine that waits for the packets of
// all of them in one system call. A thread for each transfer, that of thirteen
// Pis, would sleep and be woken for every block, which costs more than the
// block; the loop sleeps less the more there is to do. (A second loop cost more
// than one on two cores: Go's runtime then takes the processors of both away
// while they wait.)
//
// Its goroutine lives from the first transfer to the last. Files are read on
// it, as they are local and read ahead by the kernel.
type loop struct {
	ctx context.Context // of the server

	mu      sync.Mutex
	epoll   int // while there are senders
	senders map[int32]*sender
}

const (
	// loopTick is how exact times are kept: of sending again, and of stopping.
	loopTick = 100 * time.Millisecond
	// loopBatch is how many packets are acted on between two looks at the clock.
	loopBatch = 64
)

// carry adds a sender that has begun, and waits until its transfer has ended.
// The error is nil if the client has acknowledged all of it.
func (l *loop) carry(s *sender) error {
	if err := l.add(s); err != nil {
		return fmt.Errorf("no place for the transfer: %w", err)
	}
	return <-s.done
}

func (l *loop) add(s *sender) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := len(l.senders) == 0
	if idle {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return err
		}
		l.epoll, l.senders = fd, map[int32]*sender{}
	}
	fd := int32(s.fd) //nolint:gosec // the kernel's descriptors are ints of C
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd}); err != nil {
		if idle {
			_ = unix.Close(l.epoll) // nothing is lost
		}
		return err
	}
	l.senders[fd] = s
	if idle {
		go l.run(l.epoll)
	}
	return nil
}

// run moves the senders on until there are none.
func (l *loop) run(epoll int) {
	defer func() { _ = unix.Close(epoll) }() // nothing is lost
	events := make([]unix.EpollEvent, loopBatch)
	reply := make([]byte, maxRequest)
	var looked time.Time
	for {
		n, err := unix.EpollWait(epoll, events, int(loopTick.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			l.endAll(err)
			return
		}
		now := time.Now()
		for _, ev := range events[:max(n, 0)] {
			s := l.sender(ev.Fd)
			if err := s.received(reply, now); err != nil && l.end(s, err) {
				return
			}
		}
		if now.Sub(looked) < loopTick {
			continue
		}
		looked = now
		if err := l.ctx.Err(); err != nil {
			l.endAll(err)
			return
		}
		for _, s := range l.all() {
			if err := s.overdue(now); err != nil && l.end(s, err) {
				return
			}
		}
	}
}

func (l *loop) sender(fd int32) *sender {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.senders[fd]
}

func (l *loop) all() []*sender {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.senders))
}

// end hands a sender back to the one who added it, and tells whether it was
// the last. The sender is not touched afterwards.
func (l *loop) end(s *sender, why error) (last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(s, why)
	return len(l.senders) == 0
}

func (l *loop) endAll(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.senders {
		l.remove(s, why)
	}
}

func (l *loop) remove(s *sender, why error) {
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, s.fd, nil) // it is in there
	delete(l.senders, int32(s.fd))                            //nolint:gosec // see add
	if errors.Is(why, errAcknowledged) {
		why = nil
	}
	s.done <- why
}
