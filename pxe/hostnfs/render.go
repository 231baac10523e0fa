package hostnfs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

const fileHeader = "# Written by caddyshack; changes made here are lost.\n"

// render writes the server's file; self is the address from which this host
// asks the server.
func (s *state) render(k Kind, self netip.Addr) string {
	var b strings.Builder
	b.WriteString(fileHeader)
	for _, e := range s.Exports {
		if k == Kernel {
			renderKernel(&b, e)
		} else {
			renderGanesha(&b, e, self)
		}
	}
	return b.String()
}

// renderKernel writes a line of exports(5). The fsid, which file handles
// carry, is the node's own and so survives whatever happens to the disk's
// number. Without no_subtree_check a renamed open file would go stale.
func renderKernel(b *strings.Builder, e entry) {
	id := sha256.Sum256([]byte("caddyshack export " + e.NodeID))
	fmt.Fprintf(b, "%s %s(rw,sync,no_root_squash,no_subtree_check,sec=sys,fsid=%x)\n", e.Files, e.Client.Unmap(), id[:16])
}

// renderGanesha writes an EXPORT block of ganesha-export-config(8). Ganesha
// lists an export only to those who may use it, so this host may see it, as
// nobody and without contents.
func renderGanesha(b *strings.Builder, e entry, self netip.Addr) {
	fmt.Fprintf(b, `EXPORT {
	Export_Id = %d;
	Path = "%s";
	Pseudo = "%s";
	Protocols = 3;
	Transports = TCP;
	SecType = sys;
	Access_Type = None;
	FSAL { Name = VFS; }
	CLIENT { Clients = %s; Protocols = 3; Access_Type = RW; Squash = No_Root_Squash; }
`, e.Number, e.Files, e.Path, e.Client.Unmap())
	if self != e.Client.Unmap() {
		fmt.Fprintf(b, "\tCLIENT { Clients = %s; Protocols = 3; Access_Type = MDONLY_RO; Squash = All_Squash; }\n", self)
	}
	b.WriteString("}\n")
}

// Exportfs makes the kernel's server read its files.
func Exportfs(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "exportfs", "-ra").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: install the package nfs-kernel-server", err)
	}
	if err != nil {
		return fmt.Errorf("exportfs -ra: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Hangup returns a function that sends SIGHUP to the process whose number is
// in pidFile.
func Hangup(pidFile string) func(context.Context) error {
	return func(context.Context) error {
		text, err := os.ReadFile(pidFile)
		if err != nil {
			return fmt.Errorf("%w; is the server running, and is this its file?", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid <= 1 {
			return fmt.Errorf("%s holds no process number", pidFile)
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			return fmt.Errorf("signalling process %d of %s: %w", pid, pidFile, err)
		}
		return nil
	}
}
