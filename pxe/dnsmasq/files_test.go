package dnsmasq_test

import (
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/dnsmasq"
)

// The files are written and the process told, once for each change. This test
// takes SIGHUP itself and so is not parallel.
func TestWrite(t *testing.T) {
	hup := make(chan os.Signal, 10)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	dir := t.TempDir()
	f := &dnsmasq.Files{Hosts: filepath.Join(dir, "hosts"), Options: filepath.Join(dir, "options"), PIDFile: filepath.Join(dir, "pid"), TFTP: netip.MustParseAddr("10.0.0.1")}
	list := []dhcpd.Reservation{
		{Machine: dhcpd.Machine{ID: "1", Name: "caddy-1", MAC: "dc:a6:32:00:00:01", Address: netip.MustParseAddr("10.0.0.9")}},
		{Machine: dhcpd.Machine{ID: "2", Name: "bad,name", MAC: "dc:a6:32:00:00:02"}},
	}
	if err := f.Write(list); err == nil || !strings.Contains(err.Error(), "dnsmasq does not run") {
		t.Fatalf("without a process: %v", err)
	}
	if err := os.WriteFile(f.PIDFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := func(what string, want bool) {
		t.Helper()
		if err := f.Write(list); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if want {
			select {
			case <-hup:
			case <-time.After(30 * time.Second):
				t.Fatalf("%s: dnsmasq was not told", what)
			}
		}
		if len(hup) > 0 {
			t.Errorf("%s: dnsmasq was told too often", what)
		}
	}
	told("what could not be told before", true)
	told("no change", false)
	hosts, err := os.ReadFile(f.Hosts)
	if err != nil {
		t.Fatal(err)
	}
	if want := "dc:a6:32:00:00:01,set:caddyshack,10.0.0.9,caddy-1\ndc:a6:32:00:00:02,set:caddyshack\n"; string(hosts) != want {
		t.Errorf("hosts:\n%s\nwant:\n%s", hosts, want)
	}
	options, err := os.ReadFile(f.Options)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(options), "tag:caddyshack,tag:caddyshack-boot,43,06:01:03:0a:04:00:50:58:45:09:14:") {
		t.Errorf("options:\n%s", options)
	}
	list = list[1:]
	told("one less", true)
	for text, want := range map[string]string{"x": "no process number", "1": "no process number", "4194304": "run as root"} {
		if err := os.WriteFile(f.PIDFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list = append(list, list[0])
		if err := f.Write(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pid %s: %v", text, err)
		}
	}
}
