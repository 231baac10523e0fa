package dhcpd_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caddyshack/pxe/dhcpd"
)

func tableConfig(file string) dhcpd.TableConfig {
	return dhcpd.TableConfig{
		File: file, Subnet: netip.MustParsePrefix("10.9.0.1/24"), First: addr("10.9.0.10"), Last: addr("10.9.0.13"),
		Exclude: []netip.Addr{addr("10.9.0.1"), addr("10.9.0.11")}, Guests: 2,
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func mac(n int) string { return fmt.Sprintf("dc:a6:32:00:00:%02x", n) }

func machine(n int) dhcpd.Machine {
	return dhcpd.Machine{ID: fmt.Sprint("node-", n), Name: fmt.Sprint("caddy-", n), MAC: mac(n)}
}

func fixed(n int, a string) dhcpd.Machine {
	m := machine(n)
	m.Address = addr(a)
	return m
}

func open(t *testing.T, cfg dhcpd.TableConfig) *dhcpd.Table {
	t.Helper()
	table, err := dhcpd.OpenTable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func sync(t *testing.T, table *dhcpd.Table, list ...dhcpd.Machine) []dhcpd.Problem {
	t.Helper()
	problems, err := table.Sync(list)
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

func want(t *testing.T, table *dhcpd.Table, n int, address string) {
	t.Helper()
	r, ok := table.ByMAC(mac(n))
	if address == "" && !ok {
		return
	}
	if !ok || r.Address.String() != address {
		t.Errorf("machine %d has %v (%v), want %s", n, r.Address, ok, address)
	}
}

func TestAddressesStayWithTheirMachines(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "addresses.json")
	table := open(t, tableConfig(file))
	if p := sync(t, table, machine(1), machine(2), fixed(3, "10.9.0.200")); len(p) != 0 {
		t.Fatalf("problems %+v", p)
	}
	want(t, table, 1, "10.9.0.10")
	want(t, table, 2, "10.9.0.12") // .11 is excluded
	want(t, table, 3, "10.9.0.200")

	// The same after a start, and whatever the order.
	table = open(t, tableConfig(file))
	sync(t, table, fixed(3, "10.9.0.200"), machine(2), machine(1))
	want(t, table, 1, "10.9.0.10")
	want(t, table, 2, "10.9.0.12")

	// One is deleted: its address is the last to be given again, and its own
	// if it comes back before that.
	sync(t, table, machine(2), fixed(3, "10.9.0.200"))
	want(t, table, 1, "")
	sync(t, table, machine(2), machine(4), fixed(3, "10.9.0.200"))
	want(t, table, 4, "10.9.0.13")
	sync(t, table, machine(1), machine(2), machine(4), fixed(3, "10.9.0.200"))
	want(t, table, 1, "10.9.0.10")
	p := sync(t, table, machine(1), machine(2), machine(4), machine(5), fixed(3, "10.9.0.200"))
	if len(p) != 1 || p[0].Machine.MAC != mac(5) || !strings.Contains(p[0].Text, "enlarge dhcp.range") {
		t.Errorf("problems of a full range: %+v", p)
	}
	sync(t, table, machine(2), machine(4), machine(5), fixed(3, "10.9.0.200"))
	want(t, table, 5, "10.9.0.10")
	sync(t, table, machine(1), machine(2), machine(4), machine(5), fixed(3, "10.9.0.200"))
	want(t, table, 1, "")

	// Another Pi in the same node keeps the node's address.
	exchanged := machine(6)
	exchanged.ID = "node-2"
	sync(t, table, exchanged, machine(4), machine(5))
	want(t, table, 6, "10.9.0.12")
	want(t, table, 2, "")
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), mac(6)) {
		t.Errorf("kept: %s, %v", text, err)
	}
}

func TestAddressesThatCannotBe(t *testing.T) {
	t.Parallel()
	table := open(t, tableConfig(""))
	for name, tc := range map[string]struct {
		m    dhcpd.Machine
		text string
	}{
		"outside": {fixed(1, "10.8.0.1"), "is not in 10.9.0.0/24"},
		"router":  {fixed(1, "10.9.0.11"), "that of this server or the router"},
		"no MAC":  {dhcpd.Machine{ID: "x", MAC: "dc:a6"}, "is not a MAC address"},
		"group":   {dhcpd.Machine{ID: "x", MAC: "01:00:5e:00:00:01"}, "is not a MAC address"},
		"no id":   {dhcpd.Machine{MAC: mac(1)}, "has no id"},
	} {
		if _, err := table.Register(tc.m); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := sync(t, table, fixed(1, "10.9.0.12"), fixed(2, "10.9.0.12"), machine(3), func() dhcpd.Machine { m := machine(4); m.MAC = strings.ToUpper(mac(3)); return m }())
	if len(p) != 2 || !strings.Contains(p[0].Text+p[1].Text, "is that of caddy-1") || !strings.Contains(p[0].Text+p[1].Text, "delete one of the two ports") {
		t.Errorf("problems %+v", p)
	}
	want(t, table, 1, "10.9.0.12")
	want(t, table, 2, "")

	none := tableConfig("")
	none.First, none.Last = netip.Addr{}, netip.Addr{}
	if _, err := open(t, none).Register(machine(1)); err == nil || !strings.Contains(err.Error(), "set extra.ip_address of its port, or dhcp.range") {
		t.Errorf("without a range: %v", err)
	}
	none.Loose = true
	if r, err := open(t, none).Register(machine(1)); err != nil || r.Address.IsValid() {
		t.Errorf("loose: %+v, %v", r, err)
	}

	file := filepath.Join(t.TempDir(), "addresses.json")
	for text, say := range map[string]string{"{": "restore the file", `{"version":7}`: "its version is 7", `{"version":1,"reservations":[{"mac":"x"}]}`: "restore the file"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dhcpd.OpenTable(tableConfig(file)); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAddressesThatCannotBeKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table := open(t, tableConfig(filepath.Join(dir, "addresses.json")))
	sync(t, table, machine(1))
	if err := os.Mkdir(filepath.Join(dir, "addresses.json.new"), 0o700); err != nil { // the file cannot be written any more
		t.Fatal(err)
	}
	if _, err := table.Sync([]dhcpd.Machine{machine(1), machine(2)}); err == nil {
		t.Fatal("an address that is not kept was given")
	}
	want(t, table, 1, "10.9.0.10")
	want(t, table, 2, "")
}

func TestGuests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := open(t, tableConfig(""))
		now := time.Now()
		one, ok := table.Guest(mac(1), now)
		two, ok2 := table.Guest(mac(2), now)
		if !ok || !ok2 || one == two {
			t.Fatalf("guests have %v and %v", one, two)
		}
		if _, ok := table.Guest(mac(3), now); ok {
			t.Error("more guests than allowed")
		}
		if again, ok := table.Guest(mac(1), now.Add(time.Minute)); !ok || again != one {
			t.Errorf("asked again: %v", again)
		}
		// A guest that is registered keeps its address.
		if r, err := table.Register(machine(1)); err != nil || r.Address != one {
			t.Errorf("registered: %+v, %v", r, err)
		}
		// The others go.
		later := now.Add(time.Minute + dhcpd.GuestTime)
		if _, ok := table.GuestOf(mac(2), later); ok {
			t.Error("a guest stays for ever")
		}
		if a, ok := table.Guest(mac(3), later); !ok || a != two {
			t.Errorf("a later guest has %v", a)
		}
		table.Avoid(two, later)
		if a, ok := table.Guest(mac(3), later); !ok || a == two {
			t.Errorf("an address in use was given: %v", a)
		}
	})
}
