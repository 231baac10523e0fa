// Package netns makes network namespaces, joined by pairs of virtual Ethernet
// interfaces, for tests in which several machines share this one's kernel. It
// needs root.
package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NS is a network namespace. It lives until it is closed and all that uses it
// has ended.
type NS struct{ file *os.File }

// New makes a namespace in which nothing but the loopback interface is up.
func New() (*NS, error) {
	n := &NS{}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace (as root?): %w", err)
		}
		if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n, err
}

// Open returns the namespace that a file names: Path's of another process, or
// one below /run/netns.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a network namespace: %w", err)
	}
	return &NS{file: f}, nil
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is in another namespace now
		done <- f()
	}()
	return <-done
}

// Do runs f in the namespace: sockets and netlink handles that f opens belong
// to it. f must not hand work to other goroutines.
func (n *NS) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// Start starts a program in the namespace.
func (n *NS) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Path names the namespace for other programs, while this process lives.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Close lets the namespace go.
func (n *NS) Close() error { return n.file.Close() }

// Cable joins two namespaces: a link with a name and, optionally, a MAC address
// on each side. Both ends are up, and the kernel computes checksums itself, as
// switches in user space need it.
func Cable(a *NS, nameA string, macA []byte, b *NS, nameB string) error {
	err := a.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = nameA, macA
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(int(b.file.Fd()))}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("making the link %s–%s: %w", nameA, nameB, err)
		}
		return up(nameA)
	})
	if err != nil {
		return err
	}
	return b.Do(func() error { return up(nameB) })
}

// Cut removes a Cable by one of its ends.
func Cut(n *NS, name string) error {
	return n.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	})
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := withoutChecksumOffload(name); err != nil {
		return fmt.Errorf("switching off checksum offload of %s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

// Current is the namespace of the process. (That of /proc/self may be another:
// its first thread may have been one of onThread's.)
func Current() *NS {
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		panic(err) // the process has one
	}
	return &NS{file: file}
}
