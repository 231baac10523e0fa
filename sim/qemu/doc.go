// Package qemu is the [pi.Computer] of a virtual Pi that runs a real kernel:
// QEMU boots what the Pi's boot ROM fetched over TFTP, with the command line
// that its firmware made, and lives until power is cut or its system ends.
//
// Without privileges the guest has QEMU's user network. Its NFS connections go
// through a relay of its own, which dials the server from the Pi's address, so
// that the server's check of who may mount what holds for guests as for
// anybody. As root, the guest may be put on a TAP interface instead, where it
// speaks for itself.
package qemu
