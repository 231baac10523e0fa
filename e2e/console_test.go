//go:build e2e

package e2e

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// tourConsole opens the console of the active caddy-3, a web page.
func tourConsole(t *testing.T, s *site) {
	s.ok("node", "console", "enable", "caddy-3")
	s.awaitNode("caddy-3", "console enabled", func(n node) bool { return n.Console })
	info, _ := s.object("node", "console", "show", "caddy-3")["console_info"].(map[string]any)
	if info["type"] != "shellinabox" {
		t.Fatalf("console_info of the default console: %v", info)
	}
	page := get(t, info["url"].(string))
	if !strings.Contains(page, "<html") || !strings.Contains(page, "xterm") {
		t.Errorf("the console page is no terminal:\n%s", page)
	}
	s.ok("node", "console", "disable", "caddy-3")
	s.awaitNode("caddy-3", "console disabled", func(n node) bool { return !n.Console })
	if off := s.object("node", "console", "show", "caddy-3"); off["console_enabled"] != false || off["console_info"] != nil {
		t.Errorf("a disabled console is shown as %v", off)
	}
}

// tourOwnConsole types on the console through our own client, again and again
// since a line that is typed before the prompt is there is lost, and leaves it
// with the end of its input.
func tourOwnConsole(t *testing.T, s *site) {
	typed, keyboard, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keyboard.Close() }()
	p := startTyping(t, "caddyshack console", typed, []string{"OS_ENDPOINT=" + s.program.ready.API}, binary(), "console", "caddy-3")
	_ = typed.Close() // it has its own
	eventually(t, settleTimeout, "uname is answered on the console", func() bool {
		if _, err := io.WriteString(keyboard, "uname -a\n"); err != nil {
			t.Fatalf("typing: %v\n%s%s", err, p.stdout(), p.stderr())
		}
		select {
		case <-p.exited:
			t.Fatalf("our own client's console ended: %s%s", p.stdout(), p.stderr())
		case <-time.After(time.Second): // for the answer
		}
		return strings.Contains(p.stdout(), "Linux caddy-3")
	})
	_ = keyboard.Close()
	if code := p.wait(settleTimeout); code != 0 {
		t.Errorf("our own client's console ends with %d: %s%s", code, p.stdout(), p.stderr())
	}
}

// tourTCPConsole deploys caddy-4 with our own client, its boot log followed
// meanwhile, and returns its console, of the kind that Nova's serial proxy uses.
func tourTCPConsole(t *testing.T, s *site) string {
	t.Helper()
	s.ok("node", "set", "caddy-4", "--console-interface", "serial-socat")
	live := start(t, "caddyshack boot-log -f", []string{"OS_ENDPOINT=" + s.program.ready.API}, binary(), "boot-log", "-f", "caddy-4")
	eventually(t, settleTimeout, "the boot log is followed", func() bool { return live.stdout() != "" })
	if r := s.own("deploy", "caddy-4"); r.code != 0 || !strings.Contains(r.stdout, "caddy-4 is active after") {
		t.Fatalf("our own client: %v", r)
	}
	// The unit's report and the ends of transfers are heard on connections of
	// their own, and may come after what the machine did next.
	signs := [][]string{{"  power\n"}, {"  file  start4.elf  probe"}, {"  file  kernel8.img  done  "},
		{"  mount  /nodes/", "  init  /sbin/init\n", "  login  phone-home\n"}}
	eventually(t, settleTimeout, "each sign of the boot comes live", func() bool {
		out := live.stdout()
		return !slices.ContainsFunc(signs, func(chain []string) bool { return !inOrder(out, chain...) })
	})
	if r := s.own("boot-log", "caddy-4"); r.code != 0 || !strings.Contains(r.stdout, "power came on") || !strings.Contains(r.stdout, "phone-home") {
		t.Errorf("the boot log afterwards: %v", r)
	}
	s.ok("node", "console", "enable", "caddy-4")
	s.awaitNode("caddy-4", "console enabled", func(n node) bool { return n.Console })
	info, _ := s.object("node", "console", "show", "caddy-4")["console_info"].(map[string]any)
	if info["type"] != "socat" {
		t.Fatalf("console_info of serial-socat: %v", info)
	}
	return info["url"].(string)
}

// inOrder tells whether a text has the signs, one after another.
func inOrder(text string, signs ...string) bool {
	for _, sign := range signs {
		_, rest, found := strings.Cut(text, sign)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// get reads a web page; what stands behind # stays with the browser.
func get(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Fragment = ""
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", u, resp.Status, err)
	}
	return string(body)
}

// talk types on a TCP console, again and again since a line that is typed
// before the prompt is there is lost, until the answer comes.
func talk(t *testing.T, address, typed, want string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "tcp" {
		t.Fatalf("%q is no TCP console: %v", address, err)
	}
	c, err := net.Dial("tcp", u.Host) //nolint:noctx // to a local port
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var seen strings.Builder
	buf := make([]byte, 4096)
	deadline := time.Now().Add(settleTimeout)
	for time.Now().Before(deadline) {
		if _, err := io.WriteString(c, typed); err != nil {
			t.Fatalf("typing on %s: %v; seen so far:\n%s", address, err, seen.String())
		}
		until := time.Now().Add(time.Second)
		for time.Now().Before(until) {
			_ = c.SetReadDeadline(until)
			n, err := c.Read(buf)
			seen.Write(buf[:n])
			if strings.Contains(seen.String(), want) {
				return
			}
			if err != nil {
				break
			}
		}
	}
	t.Fatalf("no %q on %s; seen:\n%s", want, address, seen.String())
}
