// Package kernelmount holds the tests of the NFS server that use a real Linux
// client: the mount is made in a QEMU guest with Debian's kernel, the server
// runs on the host. Run them with
//
//	go test -tags guest ./pxe/nfsd/kernelmount
//
// They need the Debian packages qemu-system-x86, busybox-static, (fetched with
// apt-get download) linux-image-amd64, nfs-kernel-server, rpcbind, stress-ng and
// dbench; none of their services needs to run on the host.
package kernelmount
