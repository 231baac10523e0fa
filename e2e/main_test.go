//go:build e2e

// Package e2e runs the built program as people do: whole processes, the real
// openstack client of Debian, a real mosquitto and a real PostgreSQL.
//
// It builds nothing: CADDYSHACK_BIN names the program. The Debian packages are
// those of scripts/packages.
package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"caddyshack/store/storetest"
)

// binary is the program under test.
func binary() string { return os.Getenv("CADDYSHACK_BIN") }

func TestMain(m *testing.M) {
	if _, err := os.Stat(binary()); err != nil {
		fmt.Fprintf(os.Stderr, "CADDYSHACK_BIN must name the built program: run `make test-e2e` (%v)\n", err)
		os.Exit(2)
	}
	takeUsualPorts()
	storetest.Main(m)
}

// usualPorts are held as long as the tests run.
var usualPorts []io.Closer

// takeUsualPorts keeps the usual ports of the demo busy, so that demos side by
// side all take free ones, and none depends on what else the machine runs.
func takeUsualPorts() {
	for _, addr := range []string{"127.0.0.1:1883", "127.0.0.1:20490", "127.0.0.1:6385", "127.0.0.1:6386"} {
		if l, err := net.Listen("tcp", addr); err == nil { //nolint:noctx // binding does not block
			usualPorts = append(usualPorts, l)
		}
	}
	if c, err := net.ListenPacket("udp", "127.0.0.1:6969"); err == nil { //nolint:noctx // binding does not block
		usualPorts = append(usualPorts, c)
	}
}
