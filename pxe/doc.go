// Package pxe is all that a Pi asks for while it boots: images, roots, boot
// files over TFTP, root file systems over NFS, and a log of who asked for what.
// Service puts them together behind plain data, for the drivers of this process
// or of another (see the subpackage remote). It knows a node only as a machine
// with an id, a MAC, a serial number and an address.
package pxe
