package nfsd

import "caddyshack/pxe/nfsd/tree"

// Directory listings. Cookies stay valid as long as the directory, so the
// cookie verifier is always zero and never checked.

// Sizes in bytes, for fitting entries into a reply.
const (
	dirHead   = 4 + 84 + 8        // attributes of the directory, verifier
	dirTail   = 4 + 4             // end of list, eof
	entryHead = 4 + 8 + 4 + 8     // follows, fileid, length of name, cookie
	entryPlus = 4 + 84 + 4 + 4    // attributes and handle, without its bytes
	minReply  = dirHead + dirTail // below this nothing fits
)

func readDir(r *request) uint32 {
	cookie := r.d.Uint64()
	r.d.Fixed(8)
	count := r.d.Uint32()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	return r.list(cookie, count, count, false)
}

func readDirPlus(r *request) uint32 {
	cookie := r.d.Uint64()
	r.d.Fixed(8)
	dirCount, maxCount := r.d.Uint32(), r.d.Uint32()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	return r.list(cookie, dirCount, maxCount, true)
}

// list writes entries until maxCount bytes are full or, with plus, the names
// and cookies alone would fill dirCount bytes.
func (r *request) list(cookie uint64, dirCount, maxCount uint32, plus bool) uint32 {
	left := int(min(maxCount, maxTransfer)) - minReply
	names := int(min(dirCount, maxTransfer))
	if left < 0 {
		putPostOp(r.e, r.x.fs.After(r.id))
		return nfsErrTooSmall
	}
	// The entries are in memory before they are in the reply.
	if room := int64(left + minReply); !r.holdReply(room, room) {
		return nfsErrJukebox
	}
	perEntry := entryHead + 16
	if plus {
		perEntry += entryPlus + maxHandle
	}
	start := r.e.Len()
	putPostOp(r.e, r.x.fs.After(r.id))
	r.e.Uint64(0) // cookie verifier
	wrote := 0
	for {
		batch := left/perEntry + 1
		if plus {
			batch = min(batch, names/entryHead+1)
		}
		entries, eof, err := r.x.fs.ReadDir(r.cred, r.id, cookie, batch, plus)
		if err != nil {
			r.e.Truncate(start)
			putPostOp(r.e, r.x.fs.After(r.id))
			return status(err)
		}
		for i := range entries {
			n := r.entrySize(&entries[i], plus)
			nameSize := entryHead + len(entries[i].Name)
			if n > left || plus && nameSize > names && wrote > 0 {
				if wrote == 0 {
					r.e.Truncate(start)
					putPostOp(r.e, r.x.fs.After(r.id))
					return nfsErrTooSmall
				}
				r.e.Bool(false)
				r.e.Bool(false)
				return nfsOK
			}
			r.entry(&entries[i], plus)
			left -= n
			names -= nameSize
			cookie = entries[i].Cookie
			wrote++
		}
		if eof || len(entries) == 0 {
			r.e.Bool(false)
			r.e.Bool(eof)
			return nfsOK
		}
	}
}

func (r *request) entrySize(e *tree.Entry, plus bool) int {
	n := entryHead + (len(e.Name)+3)&^3
	if plus {
		n += entryPlus + (handleHeader+len(e.ID)+3)&^3
	}
	return n
}

func (r *request) entry(e *tree.Entry, plus bool) {
	r.e.Bool(true)
	r.e.Uint64(e.FileID)
	r.e.String(e.Name)
	r.e.Uint64(e.Cookie)
	if !plus {
		return
	}
	if e.Attr.Type == 0 { // vanished while it was listed
		r.e.Bool(false)
		r.e.Bool(false)
		return
	}
	r.x.reads.found(r.id, e.Name, e.ID)
	putPostOp(r.e, &e.Attr)
	r.e.Bool(true)
	r.handle(e.ID)
}
