package main

import (
	"context"
	"net/netip"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/tftpd"
)

// serveTFTP is our TFTP server with a tree for each client and the boot log
// that listens to it, as the program has them.
func serveTFTP(ctx context.Context, dir string) error {
	trees, err := tftpd.NewTrees(dir)
	if err != nil {
		return err
	}
	for n := range tftpClients {
		err := trees.Put(tftpd.Tree{ID: tftpSerial(n), Client: netip.MustParseAddr(tftpAddress(n)), Prefixes: []string{tftpSerial(n)},
			Files: map[string]tftpd.Content{"kernel8.img": {Path: tftpSerial(n) + "/kernel8.img"}}})
		if err != nil {
			return err
		}
	}
	log := bootlog.New(bootlog.Config{})
	s, err := tftpd.Listen(ctx, tftpd.Config{Addr: "127.0.0.1:69", Source: trees, OnEvent: func(e tftpd.Event) {
		if b, ok := bootlog.FromTFTP(e); ok {
			log.Record(b)
		}
	}})
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}
