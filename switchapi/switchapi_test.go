package switchapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/ironicapi"
	"caddyshack/switchapi"
)

// rows is a database with one node and its port.
type rows struct {
	node baremetal.Node
	port baremetal.Port
}

func (r rows) Node(context.Context, string) (baremetal.Node, error) { return r.node, nil }

func (r rows) Nodes(_ context.Context, _ baremetal.NodeQuery, each func(*baremetal.Node) error) error {
	return each(&r.node)
}

func (r rows) Ports(context.Context, baremetal.PortQuery) ([]baremetal.Port, error) {
	return []baremetal.Port{r.port}, nil
}

// who answers as its value says.
type who struct {
	ironicapi.Identity
	denial *ironicapi.Denial
}

func (w who) Authenticate(*http.Request) (ironicapi.Identity, *ironicapi.Denial) {
	return w.Identity, w.denial
}

func serve(t *testing.T, auth ironicapi.Authenticator) (*httptest.Server, *switches.Memory) {
	t.Helper()
	about := switches.Description{Kind: "memory", Ports: []switches.Port{{Name: "up"}, {Name: "p1", Link: true}, {Name: "p2"}}}
	memory := switches.NewMemory(about, map[string]switches.PortState{"up": {Tagged: switches.VLANs(20)}, "p2": {Native: 7}})
	sw, err := switches.New(switches.Config{ID: "02:00:00:00:77:01", Name: "rack", Uplinks: []string{"up"}}, memory)
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := switches.NewFleet(sw)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := networks.NewCatalog([]networks.Network{{Name: "blue", VLAN: 20}})
	if err != nil {
		t.Fatal(err)
	}
	n := baremetal.Node{UUID: baremetal.NewUUID(), Interfaces: map[string]string{"network": networks.Name}}
	n.SetNetwork(baremetal.NetworkState{Kind: baremetal.TenantNetwork})
	p := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: n.UUID, PXEEnabled: true, InternalInfo: baremetal.MustObject(map[string]any{baremetal.TenantVIF: "blue"}),
		LocalLinkConnection: baremetal.MustObject(map[string]any{"switch_id": sw.ID, "port_id": "p1"})}
	d := &networks.Driver{Catalog: catalog, Fleet: fleet, Rows: rows{n, p}}
	s := httptest.NewServer(switchapi.New(switchapi.Config{Networks: d, Auth: auth}))
	t.Cleanup(s.Close)
	return s, memory
}

// ask sends a request and decodes the answer.
func ask(t *testing.T, s *httptest.Server, method, path string, out any, header ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+switchapi.Prefix+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if out != nil {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return resp.StatusCode
}

func TestPlanThenApply(t *testing.T) {
	t.Parallel()
	s, memory := serve(t, nil)
	var p switchapi.Plan
	if status := ask(t, s, "GET", "switches/rack/plan", &p); status != http.StatusOK {
		t.Fatal(status)
	}
	want := []string{"switch rack, port p1: joins VLAN 20 untagged", "switch rack, port p2: leaves VLAN 7 untagged, carries nothing then"}
	if strings.Join(p.Words, "\n") != strings.Join(want, "\n") {
		t.Errorf("plan %q\nwant %q", p.Words, want)
	}
	if st, _ := memory.Read(t.Context()); st.Ports["p1"].Native != 0 || st.Ports["p2"].Native != 7 {
		t.Errorf("a plan has touched the switch: %v", st.Ports)
	}
	var list struct{ Switches []switchapi.Summary }
	ask(t, s, "GET", "switches", &list)
	if len(list.Switches) != 1 || list.Switches[0].Differences != 2 || list.Switches[0].Used != 1 || list.Switches[0].Error != "" {
		t.Errorf("list %+v", list)
	}
	if status := ask(t, s, "POST", "switches/02-00-00-00-77-01/apply", &p); status != http.StatusOK || len(p.Words) != 2 {
		t.Errorf("apply: %d %v", status, p.Words)
	}
	if st, _ := memory.Read(t.Context()); st.Ports["p1"].Native != 20 || st.Ports["p2"].Native != 0 {
		t.Errorf("applied: %v", st.Ports)
	}
	var d switchapi.Detail
	ask(t, s, "GET", "switches/rack", &d)
	if d.Differences != 0 || len(d.PortList) != 3 || !d.PortList[0].Protected || d.PortList[1].Want != "access/native_vlan=20" || d.PortList[2].Want != "idle" {
		t.Errorf("detail %+v", d)
	}
	var networks struct{ Networks []switchapi.Network }
	if ask(t, s, "GET", "networks", &networks); len(networks.Networks) != 1 || networks.Networks[0].VLAN != 20 {
		t.Errorf("networks %+v", networks)
	}
}

func TestOnlyAdministrators(t *testing.T) {
	t.Parallel()
	reader := ironicapi.Identity{User: "r", System: ironicapi.RolesOf("member")}
	project := ironicapi.Identity{User: "p", Project: "x", InProject: ironicapi.RolesOf("admin")}
	for name, tc := range map[string]struct {
		auth   ironicapi.Authenticator
		header []string
		status int
	}{
		"nobody":              {who{denial: &ironicapi.Denial{Status: 401, Body: []byte("{}")}}, nil, 401},
		"a member":            {who{Identity: reader}, nil, 403},
		"an admin elsewhere":  {who{Identity: project}, nil, 403},
		"an administrator":    {who{Identity: ironicapi.Administrator("a")}, nil, 200},
		"another site's page": {who{Identity: ironicapi.Administrator("a")}, []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, memory := serve(t, tc.auth)
			if got := ask(t, s, "POST", "switches/rack/apply", nil, tc.header...); got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if st, _ := memory.Read(t.Context()); (st.Ports["p1"].Native == 20) != (tc.status == 200) {
				t.Errorf("port p1 has %s", st.Ports["p1"])
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, nil)
	for path, want := range map[string]int{"switches/nope": 404, "switches/nope/plan": 404, "nothing": 404, "switches/rack/apply": 405} {
		var body map[string]string
		if got := ask(t, s, "GET", path, &body); got != want || !strings.Contains(body["error_message"], "faultstring") {
			t.Errorf("%s: %d %v, want %d", path, got, body, want)
		}
	}
}
