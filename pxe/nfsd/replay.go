package nfsd

import (
	"hash/crc32"
	"sync"
)

// callKey recognizes a call that a client sends again after it lost the
// connection: the same transaction, procedure and bytes.
type callKey struct {
	xid, proc, sum uint32
}

func keyOf(h *rpcHeader, record []byte) callKey {
	return callKey{h.xid, h.proc, crc32.Checksum(record, crc32.MakeTable(crc32.Castagnoli))}
}

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
	done  chan struct{} // closed when reply is there
	reply []byte
	// interrupted marks a call that an earlier life of the server began and
	// may or may not have done.
	interrupted bool
}

// begin returns the reply to a call that was made before, if need be after
// waiting for its end, or an entry that the caller is to end.
func (r *replies) begin(k callKey) (e *replyEntry, reply []byte) {
	r.mu.Lock()
	old := r.known[k]
	if old != nil && !old.interrupted {
		r.mu.Unlock()
		<-old.done
		return nil, old.reply
	}
	defer r.mu.Unlock()
	e = &replyEntry{done: make(chan struct{})}
	if old != nil { // made once more, with care
		r.known[k] = e
		return &replyEntry{done: e.done, interrupted: true}, nil
	}
	r.add(k, e)
	return e, nil
}

// add makes an entry known, in the place of the oldest. The caller holds mu.
func (r *replies) add(k callKey, e *replyEntry) {
	if r.known == nil {
		r.known = make(map[callKey]*replyEntry)
	}
	if len(r.oldest) < maxReplies {
		r.oldest = append(r.oldest, k)
	} else {
		// Who waits for an entry that goes still holds it.
		delete(r.known, r.oldest[r.next])
		r.oldest[r.next] = k
		r.next = (r.next + 1) % maxReplies
	}
	r.known[k] = e
}

// end records the reply to the call begun as e. Without keep only those who
// wait for it now get it, and the next such call is made anew.
func (r *replies) end(k callKey, e *replyEntry, reply []byte, keep bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[k]; known != nil && known.done == e.done {
		known.reply = append([]byte(nil), reply...)
		if !keep {
			delete(r.known, k)
		}
	}
	close(e.done)
}
