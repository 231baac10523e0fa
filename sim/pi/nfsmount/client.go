package nfsmount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/rpc"
	"github.com/willscott/go-nfs-client/nfs/xdr"
)

// Config says what to mount.
type Config struct {
	// Local is the client's own address. Required.
	Local netip.Addr
	// Inside calls a function where sockets are to be opened; nil means here.
	Inside func(func() error) error
	// Server, Port and MountPort are where NFS and MOUNT are served.
	Server          netip.Addr
	Port, MountPort uint16
	// Path is the export.
	Path string
	// Hostname is told to the server as the name of the caller.
	Hostname string
	// RSize and WSize are the largest transfers in bytes.
	RSize, WSize uint32
	// OnLost and OnBack are called when the server stops answering and when it
	// answers again. They may be nil.
	OnLost, OnBack func()
}

// Handle names a file on the server.
type Handle []byte

// FS is a mounted file system. Its calls wait for the server for as long as
// their context holds, like a hard mount.
type FS struct {
	cfg  Config
	cred rpc.Auth
	root Handle

	mu   sync.Mutex
	conn *rpcConn
}

// Mount asks the server for the root of an export. It tries once.
func Mount(ctx context.Context, cfg Config) (*FS, error) {
	f := &FS{cfg: cfg, cred: rpc.NewAuthUnix(cfg.Hostname, 0, 0).Auth()}
	err := f.withMountd(ctx, nfs.MountProc3MNT, func(r *bytes.Reader) error {
		var status uint32
		if err := xdr.Read(r, &status); err != nil {
			return err
		}
		if status != 0 {
			return StatusError(status)
		}
		var ok struct {
			FH      []byte
			Flavors []uint32
		}
		if err := xdr.Read(r, &ok); err != nil {
			return err
		}
		f.root = ok.FH
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mounting %s:%s: %w", cfg.Server, cfg.Path, err)
	}
	return f, nil
}

// withMountd makes one call with the export's path as its argument.
func (f *FS) withMountd(ctx context.Context, proc uint32, read func(*bytes.Reader) error) error {
	c, err := f.dial(ctx, f.cfg.MountPort)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	r, err := c.call(ctx, nfs.MountProg, nfs.MountVers, proc, &struct{ Path string }{f.cfg.Path})
	if err != nil {
		return err
	}
	return read(r)
}

// Unmount tells the server that the export is no longer used, and closes the
// connection.
func (f *FS) Unmount(ctx context.Context) error {
	err := f.withMountd(ctx, nfs.MountProc3UMNT, func(*bytes.Reader) error { return nil })
	f.Close()
	return err
}

// Close drops the connection without a word, as a power cut does.
func (f *FS) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
}

func (f *FS) drop() {
	if f.conn != nil {
		_ = f.conn.conn.Close() // nothing is left to be lost
		f.conn = nil
	}
}

func (f *FS) dial(ctx context.Context, port uint16) (*rpcConn, error) {
	server := net.JoinHostPort(f.cfg.Server.String(), strconv.Itoa(int(port)))
	if f.cfg.Inside == nil {
		return dialRPC(ctx, f.cfg.Local.AsSlice(), server, f.cred)
	}
	var c *rpcConn
	err := f.cfg.Inside(func() (err error) {
		c, err = dialRPC(ctx, f.cfg.Local.AsSlice(), server, f.cred)
		return err
	})
	return c, err
}

const (
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

// into decodes the results of a call into a struct.
func into(result any) func(*bytes.Reader) error {
	return func(r *bytes.Reader) error { return xdr.Read(r, result) }
}

// call makes one NFS call, again and again until the server answers. What it
// asks for must be right to ask twice. read decodes what follows a status of
// success.
func (f *FS) call(ctx context.Context, proc uint32, args any, read func(*bytes.Reader) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	pause := firstPause
	told := false
	for {
		r, err := f.try(ctx, proc, args)
		var t *transportError
		if errors.As(err, &t) {
			f.drop()
			if !told && f.cfg.OnLost != nil && pause > firstPause {
				told = true
				f.cfg.OnLost()
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			pause = min(pause*2, longPause)
			continue
		}
		if ctx.Err() != nil {
			f.drop() // an answer may be on its way
			return ctx.Err()
		}
		if told && f.cfg.OnBack != nil {
			f.cfg.OnBack()
		}
		if err != nil {
			return err
		}
		var status uint32
		if err := xdr.Read(r, &status); err != nil {
			return fmt.Errorf("decoding an answer: %w", err)
		}
		if status != 0 {
			return StatusError(status)
		}
		if err := read(r); err != nil {
			return fmt.Errorf("decoding an answer: %w", err)
		}
		return nil
	}
}

func (f *FS) try(ctx context.Context, proc uint32, args any) (*bytes.Reader, error) {
	if f.conn == nil {
		c, err := f.dial(ctx, f.cfg.Port)
		if err != nil {
			return nil, err
		}
		f.conn = c
	}
	return f.conn.call(ctx, nfs.Nfs3Prog, nfs.Nfs3Vers, proc, args)
}
