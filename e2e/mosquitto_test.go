//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/internal/heldport"
)

// mosquitto is Debian's MQTT broker with accounts and access rules as people
// are told to set them up: one user per unit, the controller for all.
type mosquitto struct {
	t       testing.TB
	dir     string
	addr    string
	process *process
}

const (
	controllerPassword = "controller-secret"
	unitPassword       = "unit-secret"
)

// aclFile is the broker's part of the contract between units and controller.
const aclFile = `user controller
topic readwrite caddyshack/v1/#

pattern readwrite caddyshack/v1/bpu/%u/#
pattern read caddyshack/v1/controller/status
`

func startMosquitto(t testing.TB, units ...string) *mosquitto {
	t.Helper()
	m := &mosquitto{t: t, dir: t.TempDir(), addr: heldport.Address(t)}
	passwords := filepath.Join(m.dir, "passwords")
	accounts := "controller:" + controllerPassword + "\n"
	for _, u := range units {
		accounts += u + ":" + unitPassword + "\n"
	}
	m.write("passwords", accounts)
	if r := run(t, nil, "mosquitto_passwd", "-U", passwords); r.code != 0 {
		t.Fatalf("hashing the passwords: %v", r)
	}
	m.write("acl", aclFile)
	host, port, _ := net.SplitHostPort(m.addr)
	conf := []string{
		"listener " + port + " " + host,
		"allow_anonymous false",
		"password_file " + passwords,
		"acl_file " + filepath.Join(m.dir, "acl"),
		"persistence false",
	}
	if os.Geteuid() == 0 {
		conf = append(conf, "user root") // the folder of the test is its own
	}
	m.write("conf", strings.Join(conf, "\n")+"\n")
	m.start()
	return m
}

func (m *mosquitto) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// start runs the broker and waits until it accepts connections.
func (m *mosquitto) start() {
	m.t.Helper()
	m.process = start(m.t, "mosquitto", nil, "mosquitto", "-c", filepath.Join(m.dir, "conf"))
	eventually(m.t, readyTimeout, "mosquitto accepts connections", func() bool {
		select {
		case <-m.process.exited:
			m.t.Fatal("mosquitto ended before it accepted connections")
		default:
		}
		c, err := net.Dial("tcp", m.addr) //nolint:noctx // to a local port
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

func (m *mosquitto) url() string { return "tcp://" + m.addr }
