package nfsd

import (
	"hash/maphash"
	"sync"
)

// callKey recognizes a call that a client sends again after it lost the
// connection: the same transaction, procedure and bytes.
type callKey struct {
	xid, proc uint32
	sum       uint64
}

// sum hashes a whole call.
func (s *Server) sum(record []byte) uint64 { return maphash.Bytes(s.seed, record) }

// maxReplies is how many replies are kept for each client. A Linux client has
// at most some hundred calls under way.
const maxReplies = 1024

// replies is the duplicate request cache of one client: the answers to its
// latest calls that must not be done twice.
type replies struct {
	mu     sync.Mutex
	known  map[callKey]*replyEntry
	oldest []callKey // ring in the order of arrival
	next   int
}

type replyEntry struct {
	done  chan struct{}
	reply []byte
}

// begin returns the reply to a call that was made before, if need be after
// waiting for its end, or nil if the caller is to make it and call end.
func (r *replies) begin(k callKey) []byte {
	r.mu.Lock()
	if old := r.known[k]; old != nil {
		r.mu.Unlock()
		<-old.done
		return old.reply
	}
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[callKey]*replyEntry)
	}
	if len(r.oldest) < maxReplies {
		r.oldest = append(r.oldest, k)
	} else {
		// An entry still being made is found by its waiters all the same.
		delete(r.known, r.oldest[r.next])
		r.oldest[r.next] = k
		r.next = (r.next + 1) % maxReplies
	}
	r.known[k] = &replyEntry{done: make(chan struct{})}
	return nil
}

// end records the reply to the call begun with k.
func (r *replies) end(k callKey, reply []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.known[k]; e != nil && e.reply == nil {
		e.reply = append([]byte(nil), reply...)
		close(e.done)
	}
}
