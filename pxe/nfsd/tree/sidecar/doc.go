// Package sidecar is a tree.Tree that an ordinary user can keep: contents lie
// in plain files, and everything an ordinary user could not give a file
// (owners, set-id bits, devices, arbitrary link counts, names the host does
// not allow) is kept beside them.
//
// On disk a tree is a folder:
//
//	format      names the format and the tree's random identity
//	lock        held while the tree is open
//	meta.N      checkpoint N: all inodes and names, with a checksum
//	journal.N   changes since checkpoint N, each a checksummed record
//	data/G/F    contents of regular file G*256+F (both hexadecimal)
//
// The names in the tree never become names on the host, so nothing in it can
// point, link or climb out of the folder. Size and time stamps of regular
// files are those of their data file, which makes a WRITE one system call and
// nothing else. A change of names or owners is written to the journal before
// it is applied and, unless Options.NoSync is set, on stable storage before
// the call returns; calls that run at the same time share one sync. A torn
// record at the end of the journal belongs to a call that never returned and
// is cut off. Data files without an inode, left by a crash between the two,
// are deleted when the tree is opened.
package sidecar
