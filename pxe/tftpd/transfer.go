package tftpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// transfer is one admitted request.
type transfer struct {
	key    string // the made-up file name given to the library
	client netip.AddrPort
	known  bool
	name   string
	rq     request
	asked  int // bytes of the request
	start  time.Time
	// peer is the address object that the library sends to. Only the
	// library's goroutine for this transfer uses it.
	peer     *net.UDPAddr
	progress progress
}

// openTimeout is how long a Source may take to open a file. A Pi asks again
// after a few seconds.
const openTimeout = 5 * time.Second

// readBuffer saves a system call for each block of a file on disk.
const readBuffer = 32 << 10

// maxAmplification is how many times the bytes of its request a stranger gets
// before it has acknowledged anything: the request's sender may be made up, and
// the answer hit somebody else. A first block of 512 bytes is sent in any case,
// and is all that such a client gets.
const maxAmplification = 10

// read carries out one transfer. It runs on a goroutine of the library, which
// sends an error returned here to the client with code 1, "file not found".
func (s *Server) read(key string, _ io.ReaderFrom) error {
	t := s.gate.transfer(key)
	if t == nil {
		return ErrNotFound
	}
	defer s.gate.release(t)
	ev := Event{Client: t.client, Name: t.name}
	f, err := s.open(t)
	if err != nil {
		s.lookupFailed(t, ev, err)
		return ErrNotFound // the same to all, so that nobody learns what others have
	}
	defer func() { _ = f.Body.Close() }() // only read from
	ev.ID, ev.Name, ev.Size = f.ID, f.Name, f.Size
	ev.Time, ev.Kind = t.start, Started
	t.progress.begin(ev, s.emit)

	body := &meter{ctx: s.ctx, size: f.Size, acked: &t.progress.acked, src: bufio.NewReaderSize(f.Body, readBuffer)}
	_, _ = body.src.Peek(1) // what takes a cold disk longest must not hold up the others; an error comes again
	blocks, resent, err := s.carry(t, body)
	ev.Time = time.Now()
	ev.Duration = ev.Time.Sub(t.start)
	ev.Offset = body.acked.Load()
	ev.Blocks, ev.Resent = blocks, resent
	var broken *end
	switch {
	case err == nil:
		ev.Kind, ev.Offset = Done, f.Size
	case errors.As(err, &broken) && broken.code == codeNotDefined && ev.Offset == 0:
		ev.Kind = Probe
	case broken != nil, errors.Is(err, errShort), errors.Is(err, context.Canceled):
		ev.Kind, ev.Err = Failed, err.Error()
	default:
		ev.Kind, ev.Err = Failed, "the client stopped answering: "+err.Error()
	}
	t.progress.end(ev, s.emit)
	return errCarried
}

// errCarried makes the library close the socket that it has opened for the
// transfer and that is not used; it is not told to the client.
var errCarried = errors.New("the transfer has ended")

// carry sends a file and tells how many packets that took.
func (s *Server) carry(t *transfer, body *meter) (blocks, resent int64, err error) {
	defer func() { t.peer.Port = 0 }() // the library has nothing to say to the client
	granted := min(t.rq.blksize, s.cfg.MaxBlock)
	if granted < plainBlock { // not worth serving: as if it had not been asked for
		granted = 0
	}
	out, err := newSender(s.Addr().Addr(), t.client, max(granted, plainBlock), body, s.cfg.Retransmit, s.cfg.GiveUp)
	if err != nil {
		return 0, 0, err
	}
	defer out.close()
	if !t.known {
		out.unproven = maxAmplification * t.asked
	}
	if err = out.begin(granted, t.rq.tsize, body.size, time.Now()); err == nil {
		err = s.loop.carry(out)
	}
	if errors.Is(err, errShort) || errors.Is(err, context.Canceled) {
		out.giveUp(err)
	}
	return out.blocks, out.resent, err
}

func (s *Server) open(t *transfer) (*File, error) {
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	return s.cfg.Source.Open(ctx, t.client.Addr(), t.name)
}

func (s *Server) lookupFailed(t *transfer, ev Event, err error) {
	ev.Time = time.Now()
	ev.Duration = ev.Time.Sub(t.start)
	var lookup *LookupError
	if errors.As(err, &lookup) {
		ev.ID, ev.Owner, ev.Name = lookup.ID, lookup.Owner, lookup.Name
	}
	switch {
	case errors.Is(err, ErrDenied):
		ev.Kind, ev.Err = Denied, err.Error()
		s.noise(ev)
		return
	case errors.Is(err, ErrNotFound):
		ev.Kind = Missing
	default:
		ev.Kind, ev.Err = Failed, err.Error()
	}
	if t.known {
		s.emit(ev)
	} else {
		s.noise(ev)
	}
}

// errShort: the file on disk has become shorter than when it was opened.
var errShort = errors.New("the file changed while it was being sent")

// meter hands out a file block by block, and knows how far the client is: the
// sender asks for a block only when the one before it was acknowledged.
type meter struct {
	ctx   context.Context
	src   *bufio.Reader
	size  int64
	sent  int64         // handed out
	acked *atomic.Int64 // acknowledged
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	m.acked.Store(m.sent)
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	left := m.size - m.sent
	if left == 0 {
		return 0, io.EOF
	}
	n, err := io.ReadFull(m.src, p[:min(int64(len(p)), left)])
	m.sent += int64(n)
	if err != nil {
		return n, errShort
	}
	return n, nil
}
