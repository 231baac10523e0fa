package ironicapi

import (
	"testing"

	"caddyshack/baremetal"
)

// FuzzFindings: what an agent sends is either refused as a bad request or has an
// inventory and addresses that are addresses.
func FuzzFindings(f *testing.F) {
	for _, seed := range []string{`{"inventory":{"interfaces":[{"mac_address":"AA:BB:CC:DD:EE:FF"}]},"error":"x"}`,
		`{"inventory":{"interfaces":null}}`, `{"inventory":[]}`, `{"inventory":{"interfaces":[[]]}}`, `[]`, `{"inventory":{"interfaces":[{"mac_address":5}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := decodeJSON(text)
		if err != nil {
			return
		}
		body, ok := v.(map[string]any)
		if !ok {
			return
		}
		inventory, addresses, err := readFindings(body)
		if err != nil {
			if !baremetal.IsKind(err, baremetal.Invalid) {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		if len(inventory) == 0 || len(addresses) > maxInterfaces {
			t.Errorf("%s: %v %v", text, inventory, addresses)
		}
		for _, a := range addresses {
			if mac, err := baremetal.ParseMAC(a); err != nil || mac != a {
				t.Errorf("%q is no address in its usual form", a)
			}
		}
	})
}

// FuzzProvisionBody: steps, drives and passwords of PUT states/provision.
func FuzzProvisionBody(f *testing.F) {
	for _, seed := range []string{`{"clean_steps":[{"interface":"deploy","step":"x","order":1,"limit_child_node_execution":["a"]}]}`,
		`{"configdrive":{"meta_data":{}}}`, `{"deploy_steps":[{"interface":"bios","step":"x","args":{},"priority":1e9}]}`,
		`{"logical_disks":[{"size_gb":"MAX","raid_level":"1"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := decodeJSON(text)
		if err != nil {
			return
		}
		body, ok := v.(map[string]any)
		if !ok {
			return
		}
		for _, read := range []func() error{
			func() error { _, err := cleanSteps(body, "clean_steps", true); return err },
			func() error { _, err := cleanSteps(body, "service_steps", false); return err },
			func() error { _, err := deploySteps(body); return err },
			func() error { return checkRAID(body) },
		} {
			if err := read(); err != nil && !baremetal.IsKind(err, baremetal.Invalid) {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}
