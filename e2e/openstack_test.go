//go:build e2e

package e2e

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

//go:embed openstack_server.py
var openstackServer string

// result is how a command ended.
type result struct {
	args           []string
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit %d\n%s%s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// openstackClient runs commands of the openstack client; see openstack_server.py.
type openstackClient struct {
	mu      sync.Mutex
	in      io.Writer
	last    int
	waiting map[int]chan int
	failed  error // why it is of no use any more
}

var sharedClient = sync.OnceValues(startOpenstackClient)

// python is the interpreter that Debian's openstack client is made for.
const python = "/usr/bin/python3"

func startOpenstackClient() (*openstackClient, error) {
	cmd := exec.Command(python, "-c", openstackServer) //nolint:noctx // ends with its standard input
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &openstackClient{in: in, waiting: map[int]chan int{}}
	go c.read(out)
	return c, nil
}

func (c *openstackClient) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var answer struct{ ID, Code int }
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			continue
		}
		c.mu.Lock()
		c.waiting[answer.ID] <- answer.Code
		delete(c.waiting, answer.ID)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = errors.New("the openstack client ended")
	for _, w := range c.waiting {
		close(w)
	}
}

// commandTimeout is for the slowest, a deploy with --wait.
const commandTimeout = deployTimeout + time.Minute

func (c *openstackClient) run(t testing.TB, env map[string]string, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	outLog, errLog := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	answer := make(chan int, 1)
	c.mu.Lock()
	c.last++
	c.waiting[c.last] = answer
	request, err := json.Marshal(map[string]any{"id": c.last, "args": args, "env": env, "stdout": outLog, "stderr": errLog})
	if err == nil {
		_, err = c.in.Write(append(request, '\n'))
	}
	err = errors.Join(err, c.failed)
	c.mu.Unlock()
	if err != nil {
		t.Fatalf("openstack %s: %v", strings.Join(args, " "), err)
	}
	select {
	case code, ok := <-answer:
		if !ok {
			t.Fatalf("openstack %s: the client ended", strings.Join(args, " "))
		}
		return result{args: append([]string{"openstack"}, args...), code: code, stdout: readFile(t, outLog), stderr: readFile(t, errLog)}
	case <-time.After(commandTimeout):
		t.Fatalf("openstack %s: no end after %s", strings.Join(args, " "), commandTimeout)
		panic("unreachable")
	}
}

// cli is a person with the openstack client and the exports of the README.
type cli struct {
	t   testing.TB
	env map[string]string
}

func newCLI(t testing.TB, endpoint string) *cli {
	return &cli{t: t, env: map[string]string{"OS_AUTH_TYPE": "none", "OS_ENDPOINT": endpoint}}
}

// with is the same person inside another test.
func (c *cli) with(t testing.TB) *cli { return &cli{t: t, env: c.env} }

// try runs `openstack baremetal ARGS`.
func (c *cli) try(args ...string) result {
	c.t.Helper()
	client, err := sharedClient()
	if err != nil {
		c.t.Fatalf("starting the openstack client (Debian's python3-openstackclient and python3-ironicclient are needed): %v", err)
	}
	return client.run(c.t, c.env, append([]string{"baremetal"}, args...)...)
}

// ok runs a command that must end with 0, and returns what it printed.
func (c *cli) ok(args ...string) string {
	c.t.Helper()
	r := c.try(args...)
	if r.code != 0 {
		c.t.Fatalf("must work: %v", r)
	}
	return r.stdout
}

// refused runs a command that must end with an error that says all of want.
func (c *cli) refused(want []string, args ...string) string {
	c.t.Helper()
	r := c.try(args...)
	if r.code == 0 {
		c.t.Fatalf("must be refused: %v", r)
	}
	for _, w := range want {
		if !strings.Contains(r.stderr, w) {
			c.t.Errorf("must say %q: %v", w, r)
		}
	}
	if strings.Contains(r.stderr, "Traceback") {
		c.t.Errorf("the client falls over the answer: %v", r)
	}
	return r.stderr
}

// program runs the real openstack program, in a process of its own from the start.
func (c *cli) program(args ...string) result {
	c.t.Helper()
	var env []string
	for k, v := range c.env {
		env = append(env, k+"="+v)
	}
	return run(c.t, env, append([]string{"openstack", "baremetal"}, args...)...)
}

// field reads one field of a node.
func (c *cli) field(node, name string) string {
	c.t.Helper()
	return strings.TrimSpace(c.ok("node", "show", node, "-f", "value", "-c", name, "--fields", name))
}

// table decodes the output of -f json of a list.
func (c *cli) table(args ...string) []map[string]any {
	c.t.Helper()
	return decode[[]map[string]any](c.t, c.ok(append(args, "-f", "json")...))
}

// object decodes the output of -f json of a show.
func (c *cli) object(args ...string) map[string]any {
	c.t.Helper()
	return decode[map[string]any](c.t, c.ok(append(args, "-f", "json")...))
}

func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return v
}
