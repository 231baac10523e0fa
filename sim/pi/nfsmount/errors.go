package nfsmount

import (
	"fmt"
	"syscall"
)

// Status is an error of NFSv3 or MOUNT (RFC 1813 sections 2.6 and 5.1.5); the
// two share their numbers where both have them.
type Status uint32

// Statuses that callers tell apart.
const (
	NotFound  Status = 2
	Access    Status = 13
	Exists    Status = 17
	NotDir    Status = 20
	IsDir     Status = 21
	Stale     Status = 70
	BadHandle Status = 10001
)

// Error names the status in the words of strerror where there are some.
func (s Status) Error() string {
	if s < 100 {
		return syscall.Errno(s).Error()
	}
	return fmt.Sprintf("NFS error %d", uint32(s))
}

// Errno is the number that a Linux kernel prints for the status.
func (s Status) Errno() int {
	if s < 100 {
		return int(s)
	}
	return int(syscall.EIO)
}
