package nfsmount

import (
	"fmt"
	"syscall"
)

// StatusError is an error of NFSv3 or MOUNT (RFC 1813 sections 2.6 and 5.1.5); the
// two share their numbers where both have them.
type StatusError uint32

// Statuses that callers tell apart.
const (
	ErrNotFound StatusError = 2
	ErrAccess   StatusError = 13
	ErrNotDir   StatusError = 20
	ErrIsDir    StatusError = 21
)

// Error names the status in the words of strerror where there are some.
func (s StatusError) Error() string {
	if s < 100 {
		return syscall.Errno(s).Error()
	}
	return fmt.Sprintf("NFS error %d", uint32(s))
}
