// Package bustest starts MQTT brokers for tests: the embedded one, and
// mosquitto (Debian package "mosquitto") as the proof that nothing leans on the
// embedded one's habits.
package bustest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"caddyshack/bus"
)

// Patience is how long a test waits for what should come at once.
const Patience = 10 * time.Second

// ControllerUser is the name of the controller's user at the test brokers.
const ControllerUser = "controller"

// Password is the password of a user at the test brokers.
func Password(user string) string { return "secret-of-" + user }

// Users makes broker users: the controller and the units.
func Users(units ...string) []bus.User {
	users := []bus.User{{Name: ControllerUser, Password: Password(ControllerUser), Role: bus.RoleController}}
	for _, u := range units {
		users = append(users, bus.User{Name: u, Password: Password(u), Role: bus.RoleUnit})
	}
	return users
}

// Each runs test once on each kind of broker; start makes a broker with the
// controller and the units as users, and returns its URL.
func Each(t *testing.T, test func(t *testing.T, start func(units ...string) string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, func(units ...string) string { return Embedded(t, units...) })
	})
	t.Run("mosquitto", func(t *testing.T) {
		t.Parallel()
		test(t, func(units ...string) string { return Mosquitto(t, units...) })
	})
}

// Embedded starts an embedded broker for the length of the test.
func Embedded(t testing.TB, units ...string) string {
	t.Helper()
	b, err := bus.StartBroker(bus.BrokerConfig{Users: Users(units...), Log: Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.URL()
}

// Mosquitto starts a mosquitto with the contract's access list for the length of the test.
func Mosquitto(t testing.TB, units ...string) string {
	t.Helper()
	for attempt := 0; ; attempt++ {
		url, err := startMosquitto(t, units)
		if err == nil {
			return url
		}
		// Between finding a free port and binding it somebody else may take it.
		if attempt == 3 {
			t.Fatalf("starting mosquitto (Debian package mosquitto): %v", err)
		}
	}
}

func startMosquitto(t testing.TB, units []string) (string, error) {
	dir := t.TempDir()
	port := freePort(t)
	files := map[string]string{
		"acl": "user " + ControllerUser + "\ntopic readwrite " + bus.Root + "/#\n" +
			"pattern readwrite " + bus.Root + "/bpu/%u/#\n",
		"passwords": "",
		"conf": fmt.Sprintf("listener %d 127.0.0.1\nset_tcp_nodelay true\nallow_anonymous false\nuser root\npersistence false\n"+
			"acl_file %s\npassword_file %s\n", port, filepath.Join(dir, "acl"), filepath.Join(dir, "passwords")),
	}
	for _, u := range units {
		files["acl"] += "user " + u + "\ntopic read " + bus.ControllerStatusTopic + "\n"
	}
	for _, u := range Users(units...) {
		files["passwords"] += u.Name + ":" + u.Password + "\n"
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "mosquitto_passwd", "-U", filepath.Join(dir, "passwords")).CombinedOutput(); err != nil {
		return "", fmt.Errorf("hashing passwords: %w: %s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(context.Background(), "mosquitto", "-c", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return "", err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	stop := func() { _ = cmd.Process.Kill(); <-exited }
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
			t.Cleanup(stop)
			return "tcp://" + addr, nil
		}
		select {
		case <-exited:
			return "", fmt.Errorf("it ended: %s", strings.TrimSpace(log.String()))
		case <-ctx.Done():
			stop()
			return "", fmt.Errorf("not ready within %v: %s", Patience, strings.TrimSpace(log.String()))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func freePort(t testing.TB) int {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// Log writes to the test's log.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Context ends with the test or when Patience is over.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Listener is a client that keeps what it hears.
type Listener struct {
	*bus.Client
	Heard chan bus.Message
}

// Listen connects as user and subscribes.
func Listen(t testing.TB, url, user string, filters ...string) *Listener {
	t.Helper()
	l := &Listener{Heard: make(chan bus.Message, 1024)}
	cfg := bus.ClientConfig{
		Broker: url, ClientID: user + "-" + rand.Text(), User: user, Password: Password(user), BackOff: 10 * time.Millisecond,
		Subscriptions: filters, OnMessage: func(m bus.Message) { l.Heard <- m }, Log: Log(t),
	}
	var err error
	if l.Client, err = bus.NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if err := l.WaitConnected(Context(t)); err != nil {
		t.Fatal(err)
	}
	return l
}

// Next returns the next message heard.
func (l *Listener) Next(t testing.TB) bus.Message {
	t.Helper()
	select {
	case m := <-l.Heard:
		return m
	case <-time.After(Patience):
		t.Fatal("no message came")
		return bus.Message{}
	}
}

// Send publishes with QoS 1.
func (l *Listener) Send(t testing.TB, topic, payload string, retained bool) {
	t.Helper()
	if err := l.Publish(Context(t), bus.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retained: retained}); err != nil {
		t.Fatal(err)
	}
}
