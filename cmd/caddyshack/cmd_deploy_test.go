package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/ironicapi"
	"caddyshack/ironicapi/apitest"
)

// TestDeployImage: a deploy tells the node its image and nothing of another one;
// one that is refused leaves the node as it was.
func TestDeployImage(t *testing.T) {
	t.Parallel()
	const image, other, sum = "file:///srv/new.tar", "file:///srv/old.tar", "0123"
	old := map[string]any{"image_source": other, "image_checksum": "abcd", "image_os_hash_algo": "sha256", "note": "kept"}
	for name, test := range map[string]struct {
		state        baremetal.ProvisionState
		info         map[string]any
		maintenance  bool // refuses the deploy
		image, sum   string
		want         map[string]any // instance_info afterwards
		state2, fail string
	}{
		"first":            {"enroll", nil, false, image, sum, map[string]any{"image_source": image, "image_checksum": sum}, "active", ""},
		"another":          {"deploy failed", old, false, image, "", map[string]any{"image_source": image, "note": "kept"}, "active", ""},
		"another's sum":    {"available", old, false, image, sum, map[string]any{"image_source": image, "image_checksum": sum, "note": "kept"}, "active", ""},
		"the node's own":   {"available", old, false, "", "", old, "active", ""},
		"refused":          {"available", nil, true, image, sum, map[string]any{}, "available", "maintenance mode"},
		"refused, another": {"deploy failed", old, true, image, "", old, "deploy failed", "maintenance mode"},
		"active":           {"active", old, false, "", "", old, "active", ""},
		"active, another":  {"active", old, false, image, "", old, "active", "`caddyshack undeploy n1` first"},
		"in rescue":        {"rescue", old, false, image, "", old, "rescue", `is in state "rescue", from which it cannot be deployed`},
		"a sum alone":      {"available", old, false, "", sum, old, "available", "none is given"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := apitest.New()
			h, err := ironicapi.New(ironicapi.Config{Store: b, Conductor: b})
			if err != nil {
				t.Fatal(err)
			}
			s := httptest.NewServer(h)
			defer s.Close()
			n := baremetal.Node{Name: "n1", Driver: "fake-hardware", ProvisionState: test.state, InstanceInfo: baremetal.MustObject(test.info)}
			if err := b.CreateNode(t.Context(), conductor.Caller{}, &n); err != nil {
				t.Fatal(err)
			}
			b.Edit(n.UUID, func(n *baremetal.Node) { n.Maintenance = test.maintenance })
			err = deployCmd{api: api{Endpoint: s.URL}, Node: "n1", Image: test.image, Checksum: test.sum, Timeout: time.Minute}.Run(t.Context())
			if (err != nil) != (test.fail != "") || err != nil && !strings.Contains(err.Error(), test.fail) {
				t.Errorf("got %v, want %q", err, test.fail)
			}
			after, err := b.Node(t.Context(), n.UUID)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, after.InstanceInfo.Map()); d != "" || string(after.ProvisionState) != test.state2 {
				t.Errorf("in %q, want %q; instance_info: %s", after.ProvisionState, test.state2, d)
			}
		})
	}
}
