// Package netns opens sockets in other network namespaces of this machine.
package netns

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do calls f where sockets belong to the namespace of a file (/run/netns/NAME);
// they stay there, whoever uses them later. It needs root.
func Do(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		back, err := do(path, f)
		if back { // else the thread ends with this goroutine, and nothing else gets to run there
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// do tells whether the thread is back where it was. It should be: the end of a
// thread also ends the programs that it has started, if they asked for that.
func do(path string, f func() error) (back bool, err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("finding this network namespace: %w", err)
	}
	defer unix.Close(home) //nolint:errcheck // it was only a handle
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("opening the network namespace %s: %w", path, err)
	}
	err = unix.Setns(there, unix.CLONE_NEWNET)
	_ = unix.Close(there) // it was only a handle
	if err != nil {
		return true, fmt.Errorf("entering the network namespace %s: %w", path, err)
	}
	err = f()
	return unix.Setns(home, unix.CLONE_NEWNET) == nil, err
}
