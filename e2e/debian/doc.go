// Package debian boots a whole Debian for 64-bit Pis in QEMU, with its root on
// the operating-system server, and lives in it while that server is killed. It
// takes a quarter of an hour the first time, most of it for making the root,
// which is kept in the user's cache folder:
//
//	make test-debian
//
// It must run as root. Debian packages: mmdebstrap qemu-user-static
// qemu-system-arm.
package debian
