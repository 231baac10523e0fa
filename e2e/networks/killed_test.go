//go:build switches

package networks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestKilled: the program is killed, as by kill -9, when a deploy or an
// undeploy has changed its node's port. The next one goes on, the node gets
// active in its own VLAN, and at no moment does the switch's database give a
// port a VLAN that neither the state before nor that after has.
func TestKilled(t *testing.T) {
	t.Parallel()
	w := insideController(t)
	if w == nil {
		return
	}
	s := startSite(t, w)
	s.eventually("the ports of nobody are idle", func() bool { return s.tag("p1") == "999" && s.tag("p2") == "999" && s.tag("p3") == "999" })
	s.enter(1)
	s.patchPort(1, map[string]any{"op": "add", "path": "/extra/switchport", "value": map[string]any{"mode": "access", "native_vlan": 20}})
	watch := s.watchPorts()

	s.killAtEachChange(watch, "active", 3) // it leaves, it joins while isolated, it is no longer isolated
	blue := netip.MustParsePrefix("10.20.0.0/24")
	s.eventually("caddy-1 has an address in blue", func() bool { return blue.Contains(s.addressOf(1)) })
	s.wantTags("deployed", "20", "999", "999")
	s.caddyshack(false, "switch", "verify")
	watch.only("p1", "999 isolated", "nothing", "20 isolated", "20")

	s.killAtEachChange(watch, "deleted", 2)
	s.wantTags("undeployed", "999", "999", "999")
	watch.only("p1", "20", "nothing", "10", "10 isolated", "999 isolated")

	s.hybrid(watch)
	for _, port := range []string{"p2", "p3", "u10", "u20", "u30", "trunk"} {
		if seen := watch.forget(port); len(seen) != 0 {
			t.Errorf("port %s, which nobody moves, was %v", port, seen)
		}
	}
}

// hybrid has the node boot from a VLAN of its own, without tags, while its
// tenants' networks are tagged: they come and go while it runs.
func (s *site) hybrid(watch *portWatch) {
	t := s.t
	t.Helper()
	s.patchPort(1, map[string]any{"op": "remove", "path": "/extra/switchport"})
	s.patchNode("caddy-1", map[string]any{"op": "add", "path": "/driver_info/boot_network", "value": "own"})
	s.request("POST", "/v1/nodes/caddy-1/vifs", map[string]any{"id": "green"}, http.StatusNoContent)
	s.verbAll("active", "active")
	own := netip.MustParsePrefix("10.40.0.0/24")
	s.eventually("caddy-1 has booted in its own network", func() bool { return own.Contains(s.addressOf(1)) })
	if got := s.columns("p1"); got != "native-untagged,40,[30]" {
		t.Errorf("a hybrid port has %s", got)
	}
	s.request("DELETE", "/v1/nodes/caddy-1/vifs/green", nil, http.StatusNoContent) // no "power off first": its root is elsewhere
	s.request("POST", "/v1/nodes/caddy-1/vifs", map[string]any{"id": "blue"}, http.StatusNoContent)
	if got := s.columns("p1"); got != "native-untagged,40,[20]" {
		t.Errorf("after the tenant has changed the hybrid port has %s", got)
	}
	watch.only("p1", "999 isolated", "nothing", "40+30 isolated", "40+30", "40", "40+20")

	s.request("POST", "/v1/nodes", map[string]any{"name": "caddy-2", "driver": "caddy", "driver_info": map[string]any{"backplane_unit": "bpu-1", "slot": 2, "boot_network": "own"}}, http.StatusCreated)
	s.request("POST", "/v1/ports", map[string]any{"node_uuid": s.request("GET", "/v1/nodes/caddy-2", nil, http.StatusOK)["uuid"], "address": mac(2),
		"local_link_connection": map[string]any{"switch_id": switchID, "port_id": "p2"}}, http.StatusCreated)
	network, _ := s.request("GET", "/v1/nodes/caddy-2/validate", nil, http.StatusOK)["network"].(map[string]any)
	if reason, _ := network["reason"].(string); network["result"] != false || !strings.Contains(reason, "give each node one of its own") {
		t.Errorf("a second node in a boot network that is not isolated: %v", network)
	}
}

func mac(slot int) string {
	b := piMAC(slot)
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

// columns are what the switch's database says of a port.
func (s *site) columns(port string) string {
	s.t.Helper()
	return strings.TrimSpace(s.run(false, "ovs-vsctl", "--db="+s.w.Database, "--timeout=60", "--columns=vlan_mode,tag,trunks", "--format=csv", "--no-headings", "list", "port", port))
}

func (s *site) patchNode(name string, op map[string]any) {
	s.t.Helper()
	s.request("PATCH", "/v1/nodes/"+name, []any{op}, http.StatusOK)
}

func (s *site) patchPort(slot int, op map[string]any) {
	s.t.Helper()
	s.request("PATCH", "/v1/ports/"+s.ports[slot], []any{op}, http.StatusOK)
}

// killAtEachChange asks for a verb, and has the program killed when the switch's
// database shows a change of port p1, so many times; each time it starts the
// next one. It returns at the verb's end.
func (s *site) killAtEachChange(watch *portWatch, verb string, times int) {
	s.t.Helper()
	end := map[string]string{"active": "active", "deleted": "available"}[verb]
	watch.victim.Store(s.program)
	if status, _ := s.tell(http.MethodPut, "/v1/nodes/caddy-1/states/provision", `{"target": "`+verb+`"}`); status != http.StatusAccepted && status != 0 {
		s.t.Fatalf("%s: %d", verb, status)
	}
	kills := 0
	s.eventually("caddy-1 is "+end, func() bool {
		select {
		case <-s.program.exited:
			s.start()
			if kills++; kills < times {
				watch.victim.Store(s.program)
			}
			_ = s.ready() // or it is killed before
			return false
		default:
		}
		state := s.stateNow("caddy-1")
		if strings.HasSuffix(state, "failed") || state == "error" {
			s.t.Fatalf("%s was not gone on with: %v", verb, s.request("GET", "/v1/nodes/caddy-1", nil, http.StatusOK)["last_error"])
		}
		return state == end
	})
	watch.victim.Store(nil)
	s.eventually("the unit has found back to the bus", func() bool {
		deploy, _ := s.request("GET", "/v1/nodes/caddy-1/validate", nil, http.StatusOK)["deploy"].(map[string]any)
		return deploy["result"] == true
	})
	s.t.Logf("%s: killed %d times", verb, kills)
	if kills == 0 {
		s.t.Errorf("%s: port p1 was not seen to move", verb)
	}
}

// stateNow asks for a node's provision state; "" if the program has just been killed.
func (s *site) stateNow(name string) string {
	s.t.Helper()
	var n struct {
		State string `json:"provision_state"`
	}
	if _, answer := s.tell(http.MethodGet, "/v1/nodes/"+name, ""); json.Unmarshal(answer, &n) != nil {
		return ""
	}
	return n.State
}

// tell speaks to an API that may be killed meanwhile: the status is 0 then.
func (s *site) tell(method, path, body string) (status int, answer []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.api+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil
	}
	return resp.StatusCode, answer
}

// portWatch is Open vSwitch's own client, which shows every change of ports.
type portWatch struct {
	t *testing.T
	// victim is killed at the next change of p1; nil = nobody.
	victim atomic.Pointer[program]

	mu   sync.Mutex // guards what follows
	seen map[string][]string
}

func (s *site) watchPorts() *portWatch {
	s.t.Helper()
	w := &portWatch{t: s.t, seen: map[string][]string{}}
	cmd := exec.CommandContext(s.t.Context(), "ovsdb-client", "--format=json", "monitor", s.w.Database, "Open_vSwitch", "Port", "name,vlan_mode,tag,trunks,protected")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	dec := json.NewDecoder(out)
	first := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		first <- w.read(dec, false)
		for w.read(dec, true) == nil {
		}
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	if err := <-first; err != nil {
		s.t.Fatalf("ovsdb-client shows nothing: %v", err)
	}
	return w
}

// read takes one table of changes.
func (w *portWatch) read(dec *json.Decoder, keep bool) error {
	var table struct {
		Headings []string            `json:"headings"`
		Data     [][]json.RawMessage `json:"data"`
	}
	if err := dec.Decode(&table); err != nil {
		return err
	}
	for _, row := range table.Data {
		cells := map[string]string{}
		for i, cell := range row {
			cells[table.Headings[i]] = strings.Trim(string(cell), `"`)
		}
		if name := cells["name"]; keep && cells["action"] != "old" && name != "" {
			w.note(name, carried(cells))
		}
	}
	if len(table.Headings) == 0 {
		return errors.New("a table without columns")
	}
	return nil
}

// carried says what a port carries, in the words of watch.only.
func carried(cells map[string]string) string {
	set := func(name string) string {
		text := strings.TrimSuffix(strings.TrimPrefix(cells[name], `["set",[`), "]]")
		return strings.ReplaceAll(text, `"`, "")
	}
	words := set("tag")
	if trunks := set("trunks"); trunks != "" {
		words += "+" + trunks
	}
	switch {
	case words == "4095" && cells["protected"] == "true":
		return "nothing"
	case cells["protected"] == "true":
		words += " isolated"
	}
	return words
}

func (w *portWatch) note(port, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen[port]
	if len(seen) > 0 && seen[len(seen)-1] == what {
		return // another column has changed
	}
	w.seen[port] = append(seen, what)
	if port != "p1" {
		return
	}
	if victim := w.victim.Swap(nil); victim != nil {
		_ = victim.cmd.Process.Kill()
	}
}

// forget returns what a port was since the last time.
func (w *portWatch) forget(port string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen[port]
	delete(w.seen, port)
	return seen
}

// only checks that a port has moved, and was nothing else on its way.
func (w *portWatch) only(port string, allowed ...string) {
	w.t.Helper()
	seen := w.forget(port)
	w.t.Logf("port %s was %v", port, seen)
	if len(seen) == 0 {
		w.t.Errorf("port %s was not seen to move", port)
	}
	for _, what := range seen {
		if !slices.Contains(allowed, what) {
			w.t.Errorf("port %s was %q on its way, which is in none of %q", port, what, allowed)
		}
	}
}
