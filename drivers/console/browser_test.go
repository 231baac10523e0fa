//go:build browser

package console

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// These tests need Debian's chromium package. With CONSOLE_SCREENSHOTS naming a
// folder they leave pictures of the page there.

// newTab is a tab of a fresh headless browser. What the page logs as an error,
// such as something that the content security policy forbade, fails the test.
func newTab(t *testing.T) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"),
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1000, 640),
	)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *cdplog.EventEntryAdded:
			// A lost server and a link that is no longer valid are logged too.
			if ev.Entry.Level == cdplog.EntryLevelError && ev.Entry.Source != cdplog.EntrySourceNetwork {
				t.Errorf("the page logged: %s %s", ev.Entry.Source, ev.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			t.Errorf("the page failed: %s", ev.ExceptionDetails.Text)
		case *page.EventJavascriptDialogOpening:
			t.Errorf("the page opened a dialog: %q", ev.Message)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// Tests run side by side, but only one window has the focus.
	_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// press types text as a keyboard does: the character belongs to the key, so the
// page may take the key and get no character. (chromedp's own KeyEvent sends
// the character in any case.)
func press(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for _, r := range text {
			events := kb.Encode(r)
			down, up := events[0], events[len(events)-1]
			down.Text = string(r)
			for _, e := range []*input.DispatchKeyEventParams{down, up} {
				if _, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, *e); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// evaluate returns the value of a script; that of a promise is waited for.
func evaluate[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

func onScreen(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is on the screen", text), func() bool {
		return strings.Contains(screen(t, ctx), text)
	})
}

// screen is the text of the terminal; its cells hold no-break spaces.
func screen(t *testing.T, ctx context.Context) string {
	t.Helper()
	return strings.ReplaceAll(evaluate[string](t, ctx, `document.querySelector(".xterm-rows")?.innerText ?? ""`), "\u00a0", " ")
}

func inState(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the page says %q", text), func() bool {
		return strings.Contains(evaluate[string](t, ctx, `document.getElementById("state").textContent`), text)
	})
}

func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("CONSOLE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+name+".png", png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// bootLog is what a Pi might print, in the colours of systemd.
const bootLog = "\r\n[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd083]\r\n" +
	"[    0.000000] Linux version 6.12.47-v8+ (gcc 14.2.0) #1 SMP PREEMPT\r\n" +
	"[    0.000000] Machine model: Raspberry Pi 4 Model B Rev 1.4\r\n" +
	"[    1.384210] bcmgenet fd580000.ethernet eth0: Link is Up - 1Gbps/Full - flow control rx/tx\r\n" +
	"[    1.401377] IP-Config: Complete:\r\n" +
	"[    1.620911] VFS: Mounted root (nfs filesystem) on device 0:21.\r\n" +
	"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mnetwork.target\x1b[0m - Network.\r\n" +
	"[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mbluetooth.service\x1b[0m.\r\n" +
	"[\x1b[0;33m WARN \x1b[0m] Clock is not set: 1970-01-01\r\n\r\n" +
	"Debian GNU/Linux 13 caddy-3 ttyS0\r\n\r\n"

func TestBrowser(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Name: "caddy-3", Port: m.port(), Type: TypeShellinabox})
	far := m.conn()
	write(t, far, bootLog+"root@caddy-3:~# ")
	tab := newTab(t)
	do(t, tab, chromedp.Navigate(info.URL))
	inState(t, tab, "connected")
	onScreen(t, tab, "Machine model: Raspberry Pi 4")
	if got := evaluate[string](t, tab, `document.getElementById("name").textContent + "|" + document.title`); got != "caddy-3|caddy-3 · console" {
		t.Errorf("name and title %q", got)
	}
	if got := evaluate[string](t, tab, "location.href"); got != strings.Split(info.URL, "#")[0] {
		t.Errorf("the address bar shows %q", got)
	}

	do(t, tab, press("uname -a\r"))
	expect(t, far, "uname -a\r")
	write(t, far, "uname -a\r\nLinux caddy-3 6.12.47-v8+ aarch64 GNU/Linux\r\n\x1b[1;32mroot@caddy-3\x1b[0m:\x1b[1;34m~\x1b[0m# ")
	onScreen(t, tab, "aarch64 GNU/Linux")
	picture(t, tab, "desktop")

	do(t, tab, chromedp.Reload())
	inState(t, tab, "connected")
	onScreen(t, tab, "aarch64 GNU/Linux") // the recent output again

	do(t, tab, chromedp.Click("#readonly"), chromedp.Focus(".xterm-helper-textarea"), press("rm -rf /\r"))
	picture(t, tab, "readonly")
	do(t, tab, chromedp.Click("#readonly"), press("ls\r"))
	if got := expect(t, far, "ls\r"); got != "ls\r" {
		t.Errorf("typed while read only: %q", got)
	}

	addr := m.ln.Addr().String()
	_ = m.ln.Close()
	_ = far.Close()
	inState(t, tab, "serial line lost")
	picture(t, tab, "lost")
	m.listen(addr)
	_ = m.conn()
	inState(t, tab, "connected")

	if err := s.Stop(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	inState(t, tab, "Console closed")
	picture(t, tab, "closed")
	// A new link in the same tab works without a reload.
	info = start(t, s, Spec{Name: "caddy-3", Port: m.port(), Type: TypeShellinabox})
	_ = m.conn()
	do(t, tab, chromedp.Navigate(info.URL))
	inState(t, tab, "connected")
}

func TestBrowserOnAPhone(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Name: "caddy-3", Port: m.port(), Type: TypeShellinabox})
	far := m.conn()
	write(t, far, bootLog+"root@caddy-3:~# ")
	tab := newTab(t)
	do(t, tab,
		chromedp.EmulateViewport(390, 760, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2)),
		chromedp.Navigate(info.URL))
	inState(t, tab, "connected")
	onScreen(t, tab, "Debian GNU/Linux 13")
	picture(t, tab, "phone")
	if over := evaluate[float64](t, tab, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
		t.Errorf("the page is %v pixels wider than the phone", over)
	}
	do(t, tab, chromedp.Click(`#keys button:nth-of-type(3)`), chromedp.Click(`#keys button:nth-of-type(5)`))
	if got := expect(t, far, "[A"); got != "\x03\x1b[A" {
		t.Errorf("the keys sent %q", got)
	}
	if err := s.Stop(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	inState(t, tab, "Console closed")
	picture(t, tab, "phone-closed")
}

func TestBrowserStaysOffTheRawPage(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	info := start(t, s, Spec{Port: "/dev/null", Type: TypeShellinabox})
	tab := newTab(t)
	do(t, tab, chromedp.Navigate(strings.Split(info.URL, "#")[0]))
	inState(t, tab, "Incomplete link")
	do(t, tab, chromedp.Navigate(strings.Split(info.URL, "#")[0]+"#wrong"))
	inState(t, tab, "Console closed")
}

// What the node prints is shown, and nothing else happens.
func TestBrowserOutputIsInert(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	name := `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`
	info := start(t, s, Spec{Name: name, Port: m.port(), Type: TypeShellinabox})
	far := m.conn()
	tab := newTab(t)
	// Reading the clipboard is for this test; the page does not.
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(tab, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name},
			Setting:    browser.PermissionSettingGranted,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	do(t, tab, chromedp.Navigate(info.URL))
	inState(t, tab, "connected")
	if got := evaluate[string](t, tab, `document.getElementById("name").textContent`); got != name {
		t.Errorf("the name reads %q", got)
	}
	evaluate[chromedp.Void](t, tab, `navigator.clipboard.writeText("mine")`)

	write(t, far, "<script>window.hit=1</script>"+
		"\x1b]0;evil title\a\x1b]2;evil title\x1b\\\u009d2;evil title\u009c"+ // titles
		"\x1b]52;c;ZXZpbA==\a\x1b]52;p;ZXZpbA==\x1b\\\x1b]52;c;?\a"+ // clipboard, set and read
		"\x1b]8;;http://evil.example/\x1b\\a link\x1b]8;;\x1b\\"+
		"\x1b]4;1;?\a\x1b]10;?\a\x1b]11;?\a\x1b]12;?\a"+ // colours asked
		"\x1b]10;#0d1114\a\x1b]11;#ffffff\a"+ // colours set: text that hides
		"\x1b[c\x1b[>c\x1b[=c\x1bZ\u009bc\x1b[>q\x1b[5n\x1b[6n\x1b[?6n\x1b[?15n"+
		"\x1b[14t\x1b[18t\x1b[21t\x1b[?1$p\x1b[4$p\x1b[?u\x1b[x\x1b[1;1;1;1;1;1*y\x05"+
		"\x1bP$qm\x1b\\\x1bP$q\"p\x1b\\\x1bP+q544e\x1b\\"+
		"the end")
	onScreen(t, tab, "the end")
	if got := screen(t, tab); !strings.Contains(got, "<script>") || !strings.Contains(got, "a link") {
		t.Errorf("the screen shows %q", got)
	}
	if got := evaluate[string](t, tab, "document.title"); strings.Contains(got, "evil") {
		t.Errorf("title %q", got)
	}
	if got := evaluate[string](t, tab, "navigator.clipboard.readText()"); got != "mine" {
		t.Errorf("the clipboard holds %q", got)
	}
	for script, what := range map[string]string{
		"window.hit === undefined":                         "markup in the name or the output was run",
		`document.querySelectorAll("img").length === 0`:    "the name became an element",
		`document.querySelectorAll("main a").length === 0`: "the output became a link",
		`getComputedStyle(document.querySelector(".xterm-scrollable-element")).backgroundColor === "rgb(13, 17, 20)"`: "the output changed the colours",
	} {
		if !evaluate[bool](t, tab, script) {
			t.Error(what)
		}
	}
	// Had the terminal answered anything, it would have come before this.
	do(t, tab, chromedp.Focus(".xterm-helper-textarea"), press("x"))
	if got := expect(t, far, "x"); got != "x" {
		t.Errorf("the terminal answered %q", got)
	}
	// Nor does it answer the same output when it is shown again.
	do(t, tab, chromedp.Reload())
	inState(t, tab, "connected")
	onScreen(t, tab, "the end")
	do(t, tab, press("y"))
	if got := expect(t, far, "y"); got != "y" {
		t.Errorf("after a reload the terminal answered %q", got)
	}
}

// A page of somebody else cannot use the console, even if it knows the token.
func TestBrowserForeignPage(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	other := newService(t, nil)
	mine := parse(t, start(t, s, Spec{Port: "/dev/null", Type: TypeShellinabox}).URL)
	foreign := parse(t, start(t, other, Spec{Port: "/dev/null", Type: TypeShellinabox}).URL)
	// Another port of the same host is a foreign origin. Its policy would stop
	// the attempt in the browser, so the attacking page is one without.
	ln := listen(t, "127.0.0.1:0")
	go servePlainPage(ln)
	tab := newTab(t)
	do(t, tab, chromedp.Navigate("http://"+ln.Addr().String()+"/"))
	try := func(fragment string) string {
		return evaluate[string](t, tab, fmt.Sprintf(`new Promise((done) => {
			const ws = new WebSocket("ws://%s%sws", [%q, %q]);
			ws.onopen = () => done("open");
			ws.onerror = () => done("refused");
		})`, mine.Host, mine.Path, subprotocol, tokenSubprotocol+fragment))
	}
	if got := try(mine.Fragment); got != "refused" {
		t.Errorf("with the token: %s", got)
	}
	if got := try(foreign.Fragment); got != "refused" {
		t.Errorf("with another token: %s", got)
	}
}

func servePlainPage(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
		_ = c.Close()
	}
}
