package conductor

import (
	"encoding/json"
	"testing"

	"caddyshack/baremetal"
)

// FuzzConfigDrive: what is accepted can be kept and read again, whatever it is.
func FuzzConfigDrive(f *testing.F) {
	for _, seed := range []string{`"H4sIAAAA"`, `"https://a/b"`, `{"meta_data":{"uuid":null},"user_data":[1]}`, `{"vendor_data":{"a":"b"}}`, `"a\nb=="`, `null`, `[`} {
		f.Add(seed, 115)
	}
	f.Fuzz(func(t *testing.T, text string, minor int) {
		n := baremetal.Node{UUID: "u", Name: "n"}
		v, err := readConfigDrive(text, minor, &n)
		if err != nil {
			if kind := baremetal.KindOf(err); kind != baremetal.Invalid && kind != baremetal.NotAcceptable {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		kept := n.InstanceInfo.With(configDriveKey, v)
		if kept.Get(configDriveKey) == nil {
			t.Errorf("%q is kept as %s", text, kept)
		}
		if m, ok := v.(map[string]any); ok {
			meta, _ := m["meta_data"].(map[string]any)
			if _, ok := meta["uuid"]; !ok || minor < 56 {
				t.Errorf("1.%d %q: meta_data %v", minor, text, meta)
			}
			again, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := readConfigDrive(string(again), minor, &n); err != nil {
				t.Errorf("%q cannot be given again: %v", text, err)
			}
		}
	})
}
