package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// inputTimeout is how long the line may refuse typed bytes before they
	// are dropped.
	inputTimeout = 5 * time.Second
	// viewerChunk is the most that a viewer is handed at once.
	viewerChunk = 16 << 10
)

// line reads one serial line into a ring and writes what people type. It opens
// the line again, with back-off, whenever it is lost.
type line struct {
	port               string
	retryMin, retryMax time.Duration
	ring               *ring
	log                *slog.Logger
	input              chan []byte
	tried              chan struct{} // closed after the first attempt to open

	mu     sync.Mutex
	conn   serialConn // nil while the line is down
	detail string     // why it is down
}

func newLine(port string, ringSize int, retryMin, retryMax time.Duration, log *slog.Logger) *line {
	return &line{
		port:     port,
		retryMin: retryMin,
		retryMax: retryMax,
		ring:     newRing(ringSize),
		log:      log,
		input:    make(chan []byte, 1),
		tried:    make(chan struct{}),
		detail:   "not opened yet",
	}
}

// run keeps the line open until ctx ends.
func (l *line) run(ctx context.Context) {
	writerDone := make(chan struct{})
	go func() {
		defer close(writerDone)
		l.writeInput(ctx)
	}()
	defer func() { <-writerDone }()

	first, lost := true, false
	wait := l.retryMin
	for ctx.Err() == nil {
		conn, err := openPort(ctx, l.port)
		if err == nil {
			l.up(conn, lost)
			lost, wait = false, l.retryMin
		}
		if first {
			close(l.tried)
			first = false
		}
		if err == nil {
			began := time.Now()
			err = l.readOutput(ctx, conn)
			if time.Since(began) < l.retryMin {
				wait = min(2*wait, l.retryMax)
			}
		}
		if ctx.Err() != nil {
			l.down(ctx.Err(), false)
			return
		}
		// One message per outage, not one per attempt.
		l.down(err, !lost)
		lost = true
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, l.retryMax)
	}
}

func (l *line) up(conn serialConn, again bool) {
	l.mu.Lock()
	l.conn, l.detail = conn, ""
	l.mu.Unlock()
	if again {
		l.say("the serial line is back")
		l.log.Info("serial line is back", "port", l.port)
	} else {
		l.ring.poke()
	}
}

func (l *line) down(err error, tell bool) {
	reason := lossReason(err)
	l.mu.Lock()
	l.conn, l.detail = nil, reason
	l.mu.Unlock()
	if tell {
		l.say("serial line lost: " + reason + "; trying again")
		l.log.Warn("serial line lost, trying again", "port", l.port, "error", err)
	} else {
		l.ring.poke()
	}
}

// lossReason words err for people; it becomes part of a terminal's stream.
func lossReason(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the other end closed it"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENXIO):
		return "the device was unplugged or hung up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing answers at the other end"
	case errors.Is(err, os.ErrNotExist):
		return "the device is not there"
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
}

// say puts a message of ours into the stream.
func (l *line) say(text string) { l.ring.write([]byte("\r\n[caddyshack: " + text + "]\r\n")) }

// status returns LineUp or LineDown with the reason.
func (l *line) status() (state, detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return LineDown, l.detail
	}
	return LineUp, ""
}

// readOutput copies from the line into the ring until the line or ctx ends.
func (l *line) readOutput(ctx context.Context, conn serialConn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	buf := make([]byte, 4<<10)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			l.ring.write(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

// writeInput passes typed bytes to the line. What is typed while the line is
// down is dropped: a command that is executed minutes later, perhaps by
// another machine in the same slot, would surprise.
func (l *line) writeInput(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-l.input:
			l.mu.Lock()
			conn := l.conn
			l.mu.Unlock()
			if conn == nil {
				continue
			}
			_ = conn.SetWriteDeadline(time.Now().Add(inputTimeout))
			n, err := conn.Write(p)
			switch {
			case err == nil:
			case errors.Is(err, os.ErrDeadlineExceeded):
				l.say(fmt.Sprintf("the serial line takes no input; %d bytes dropped", len(p)-n))
			default:
				// The reader sees the same loss and opens the line again.
				_ = conn.Close()
			}
		}
	}
}

// send hands typed bytes to the line. It waits while earlier ones are being
// written, so it holds back only those who type.
func (l *line) send(ctx context.Context, p []byte) error {
	select {
	case l.input <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow hands output from offset pos on to emit until ctx ends or emit fails.
// emit is also called with no bytes when the line's state may have changed.
// Bytes that emit was too slow for are replaced by a mark.
func (l *line) follow(ctx context.Context, pos int64, emit func(p []byte) error) error {
	buf := make([]byte, viewerChunk)
	for {
		n, next, missed, more := l.ring.read(pos, buf)
		pos = next
		if missed > 0 {
			mark := fmt.Sprintf("\r\n[caddyshack: %d bytes of output skipped, this viewer is too slow]\r\n", missed)
			if err := emit([]byte(mark)); err != nil {
				return err
			}
		}
		if err := emit(buf[:n]); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}
