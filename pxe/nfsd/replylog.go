package nfsd

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The reply log is the part of the duplicate request cache that outlives the
// process: a file of fixed slots, mapped into memory, so that keeping a reply
// costs a copy and no system call, and a kill of the process loses nothing. A
// client whose connection broke while the server was restarted sends its
// unanswered calls again; without the log a REMOVE that was done before would
// now fail. After a power cut the log may be behind; the calls concerned then
// fail as they do with other servers.
//
// A slot is, in the byte order of the host, which is the only reader:
//
//	0 state   4 xid   8 procedure   12 checksum of the call
//	16 sequence number (64 bits)   24 client address (16 bytes)
//	40 length of the reply   44 reply, without record mark
const (
	replyLogFile  = "nfs-replies"
	slotSize      = 512
	slotCount     = 4096
	slotHeader    = 44
	maxSlotReply  = slotSize - slotHeader
	slotEmpty     = 0
	slotBegun     = 1
	slotDone      = 2
	replyLogBytes = slotSize * slotCount
)

// replyLog is the mapped file.
type replyLog struct {
	mem []byte // nil: nothing is kept
	seq atomic.Uint64
}

// slot is a place in the log; the zero value keeps nothing.
type slot struct {
	mem []byte
	seq uint64
}

// openReplyLog maps the log in dir; its space is allocated first, since a
// mapped page that finds the disk full kills the process.
func openReplyLog(dir string) (*replyLog, error) {
	f, err := os.OpenFile(filepath.Join(dir, replyLogFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, replyLogBytes); err != nil {
		return nil, fmt.Errorf("allocating %q: %w", f.Name(), err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, replyLogBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %q: %w", f.Name(), err)
	}
	return &replyLog{mem: mem}, nil
}

func (l *replyLog) close() error {
	if l == nil || l.mem == nil {
		return nil
	}
	return unix.Munmap(l.mem)
}

func stateOf(mem []byte) *uint32 { return (*uint32)(unsafe.Pointer(&mem[0])) }

// begin notes that a call is about to be made.
func (l *replyLog) begin(client netip.Addr, k callKey) slot {
	if l == nil {
		return slot{}
	}
	seq := l.seq.Add(1)
	at := int(seq%slotCount) * slotSize
	m := l.mem[at : at+slotSize]
	atomic.StoreUint32(stateOf(m), slotEmpty)
	binary.NativeEndian.PutUint32(m[4:], k.xid)
	binary.NativeEndian.PutUint32(m[8:], k.proc)
	binary.NativeEndian.PutUint32(m[12:], k.sum)
	binary.NativeEndian.PutUint64(m[16:], seq)
	addr := client.As16()
	copy(m[24:40], addr[:])
	atomic.StoreUint32(stateOf(m), slotBegun)
	return slot{m, seq}
}

// end keeps the reply, a whole record; without keep it forgets the call. A
// reply too long for a slot stays "begun", which is good enough.
func (s slot) end(reply []byte, keep bool) {
	if s.mem == nil || len(reply) < 4 || len(reply)-4 > maxSlotReply {
		return
	}
	if binary.NativeEndian.Uint64(s.mem[16:]) != s.seq {
		return // thousands of calls later the slot is another's
	}
	if !keep {
		atomic.StoreUint32(stateOf(s.mem), slotEmpty)
		return
	}
	binary.NativeEndian.PutUint32(s.mem[40:], uint32(len(reply)-4))
	copy(s.mem[slotHeader:], reply[4:])
	atomic.StoreUint32(stateOf(s.mem), slotDone)
}

// loadReplies fills the caches of clients with what an earlier life of the
// server has left.
func (s *Server) loadReplies() error {
	l, err := openReplyLog(s.StateDir)
	if err != nil {
		return err
	}
	s.replyLog = l
	var found [][]byte
	for at := 0; at < len(l.mem); at += slotSize {
		if m := l.mem[at : at+slotSize]; *stateOf(m) == slotBegun || *stateOf(m) == slotDone {
			found = append(found, m)
		}
	}
	seqOf := func(m []byte) uint64 { return binary.NativeEndian.Uint64(m[16:]) }
	slices.SortFunc(found, func(a, b []byte) int {
		if seqOf(a) < seqOf(b) {
			return -1
		}
		return 1
	})
	for _, m := range found {
		s.loadReply(m)
		l.seq.Store(seqOf(m))
	}
	return nil
}

func (s *Server) loadReply(m []byte) {
	k := callKey{binary.NativeEndian.Uint32(m[4:]), binary.NativeEndian.Uint32(m[8:]), binary.NativeEndian.Uint32(m[12:])}
	addr := netip.AddrFrom16([16]byte(m[24:40])).Unmap()
	c := s.clients[addr]
	if c == nil {
		c = &client{addr: addr}
		s.clients[addr] = c
	}
	e := &replyEntry{done: make(chan struct{})}
	if n := binary.NativeEndian.Uint32(m[40:]); *stateOf(m) == slotDone && n <= maxSlotReply {
		e.reply = binary.BigEndian.AppendUint32(nil, lastFragment|n)
		e.reply = append(e.reply, m[slotHeader:slotHeader+n]...)
		close(e.done)
	} else {
		e.interrupted = true
	}
	if _, again := c.replies.known[k]; again {
		c.replies.known[k] = e
		return
	}
	c.replies.add(k, e)
}
