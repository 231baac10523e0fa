package guest

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bootTime is what a guest may take on a busy machine, with the download of
// the kernel.
const bootTime = 5 * time.Minute

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	r, err := Run(ctx, Config{
		Modules: []string{"nfsv3"},
		Env:     []string{"GREETING=it's a guest"},
		Command: []string{"sh", "-c", `echo "$GREETING"; uname -s; ip -4 -o addr show eth0 | cut -d" " -f7; cut -f2 /proc/filesystems | grep -w nfs; exit 3`},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "it's a guest\nLinux\n10.0.2.15/24\nnfs\n"; r.Output != want || r.ExitCode != 3 {
		t.Errorf("exit code %d, output %q, want 3, %q; console:\n%s", r.ExitCode, r.Output, want, r.Console)
	}
}

func TestAddPrograms(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	if err := AddPrograms(t.Context(), files, "ls"); err != nil {
		t.Fatal(err)
	}
	libc := false
	for inside, outside := range files {
		libc = libc || strings.Contains(inside, "libc.so") && inside == outside
	}
	if files["/bin/ls"] == "" || !libc {
		t.Errorf("got %v", files)
	}
	if err := AddPrograms(t.Context(), files, "no-such-program"); err == nil {
		t.Error("a program that does not exist was added")
	}
}

func TestRunEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	if _, err := DebianKernel(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(ctx, 2*time.Second)
	defer cancelShort()
	start := time.Now()
	if _, err := Run(short, Config{Command: []string{"sleep", "1000"}}); err == nil {
		t.Error("a guest that does not end gave no error")
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v to end", took)
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	a := newArchive(&buf)
	a.file("a/b/file", []byte("12345"))
	a.link("a/link", "b/file")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), busybox, "cpio", "-t")
	cmd.Stdin = &buf
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a\na/b\na/b/file\na/link\n", string(out)); diff != "" {
		t.Error(diff)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	if got := quoteEnv(`A=b'c=d`); got != `A='b'\''c=d'` {
		t.Errorf("got %s", got)
	}
	if s := (&Config{Command: []string{"a b", "c"}}).initScript(nil); !strings.Contains(s, "'a b' 'c' >/dev/ttyS1") {
		t.Errorf("init script:\n%s", s)
	}
}
