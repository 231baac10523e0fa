package nfsd

import (
	"bytes"
	"testing"
	"time"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/tree/sidecar"
	"caddyshack/pxe/nfsd/xdr"
)

// FuzzCall feeds records to a server without sockets: RPC header, MOUNT and
// all NFS procedures. Whatever comes must be answered with a well-formed reply
// or not at all, and never more than the request can ask for.
func FuzzCall(f *testing.F) {
	tr, err := sidecar.Create(f.TempDir()+"/tree", sidecar.Options{})
	if err != nil {
		f.Fatal(err)
	}
	s := &Server{Grace: time.Nanosecond}
	if err := s.AddExport(f.Context(), Export{ID: "n", Path: "/n", Client: loopback(1, 1), Tree: tr}); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	root := s.exports["n"].root
	for prog, procs := range map[uint32]uint32{nfsProgram: nfsProcs, mountProgram: 6} {
		for proc := range procs {
			e := nfstest.Header(1, prog, 3, proc, &nfstest.Cred{Groups: []uint32{1, 2}})
			if prog == mountProgram {
				e.String("/n")
			} else {
				e.Opaque(root)
				e.String("name")
				for range 12 {
					e.Uint32(1)
				}
			}
			f.Add(e.Bytes()[4:])
		}
	}
	mark := s.exports["n"].tag
	_, id, _ := s.signer.parse(root)
	f.Fuzz(func(t *testing.T, record []byte) {
		// The fuzzer cannot make handles: give it a good one for the root.
		record = bytes.Replace(record, []byte("ROOT"), s.signer.append(nil, mark, id), 1)
		c := &client{addr: loopback(1, 1)}
		reply, held := s.answer(c, record)
		s.budget.give(c, held)
		if reply == nil {
			return
		}
		if len(reply)%4 != 0 || len(reply) > maxTransfer+1024 {
			t.Fatalf("a reply of %d bytes to %d", len(reply), len(record))
		}
		d := xdr.NewDecoder(reply)
		if mark := d.Uint32(); int(mark&^lastFragment) != len(reply)-4 {
			t.Fatalf("record mark %#x on %d bytes", mark, len(reply))
		}
		putBuffer(reply)
		if c.held != 0 {
			t.Fatalf("%d bytes stay held", c.held)
		}
	})
}
