package hostnfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"caddyshack/pxe/nfsd/xdr"
)

// Numbers of ONC RPC (RFC 5531) and MOUNT version 3 (RFC 1813, appendix I).
const (
	rpcVersion    = 2
	mountProgram  = 100005
	mountVersion  = 3
	mountExport   = 5
	maxExportPath = 1024
	maxExportList = 16 << 20 // bytes
	lastFragment  = 1 << 31
)

// listExports asks a server for the paths it exports.
func listExports(ctx context.Context, addr string) ([]string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // the answer is read, or the error told
	if end, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(end); err != nil {
			return nil, err
		}
	}
	const xid = 1 // the only call of its connection
	e := xdr.NewEncoder(nil)
	for _, v := range []uint32{0, xid, 0 /* call */, rpcVersion, mountProgram, mountVersion, mountExport, 0, 0, 0, 0 /* AUTH_NONE twice */} {
		e.Uint32(v)
	}
	e.Patch32(0, lastFragment|uint32(e.Len()-4))
	if _, err := c.Write(e.Bytes()); err != nil {
		return nil, err
	}
	reply, err := readRecord(c)
	if err != nil {
		return nil, err
	}
	return parseExports(reply, xid)
}

func readRecord(r io.Reader) ([]byte, error) {
	var b []byte
	for {
		var mark [4]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return nil, err
		}
		v := binary.BigEndian.Uint32(mark[:])
		n := int(v &^ lastFragment)
		if len(b)+n > maxExportList {
			return nil, fmt.Errorf("the list of exports is longer than %d bytes", maxExportList)
		}
		part := make([]byte, n)
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, err
		}
		if b = append(b, part...); v&lastFragment != 0 {
			return b, nil
		}
	}
}

func parseExports(reply []byte, xid uint32) ([]string, error) {
	d := xdr.NewDecoder(reply)
	gotXID, msgType, stat := d.Uint32(), d.Uint32(), d.Uint32()
	_, _ = d.Uint32(), d.Opaque(400) // verifier
	accept := d.Uint32()
	if d.Err() == nil && (gotXID != xid || msgType != 1 || stat != 0 || accept != 0) {
		return nil, errors.New("it refuses to list its exports")
	}
	var out []string
	for d.Err() == nil && d.Bool() {
		out = append(out, d.String(maxExportPath))
		for d.Err() == nil && d.Bool() { // groups
			d.Opaque(maxExportPath)
		}
	}
	if d.Err() != nil {
		return nil, fmt.Errorf("reading the list of exports: %w", d.Err())
	}
	return out, nil
}
