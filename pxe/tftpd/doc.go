// Package tftpd is the read-only TFTP server (RFC 1350, 2347, 2348, 2349)
// from which Raspberry Pis fetch their firmware, configuration and kernel.
//
// What a client may read is decided by a [Source] for each request: by the
// client's address first and by the prefix in the file name second. [Trees] is
// the ready Source: one virtual tree of files for each machine, with nothing
// bootable outside it.
//
// Requests are taken by github.com/pin/tftp. In front of it stands a gate that
// reads every request first, because that library by itself accepts any mode,
// answers each failure with error code 1, opens a socket for each packet before
// asking whether it is wanted, and has no limits. The gate refuses what is
// malformed or unwanted and passes on what is left in its simplest form. The
// blocks of a file are carried by a sender of our own, which costs half as much
// CPU and tells how many had to be sent again.
package tftpd
