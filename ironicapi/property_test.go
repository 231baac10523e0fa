package ironicapi_test

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPatchIsJSONPatch: any sequence of patches gives what an independent
// implementation of RFC 6902 makes of a plain document, or is refused whole.
func TestPatchIsJSONPatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rapid.Check(t, func(rt *rapid.T) {
		id := r.node(nil)
		plain := []byte(`{"extra":{},"properties":{},"instance_info":{}}`)
		for range rapid.IntRange(1, 8).Draw(rt, "patches") {
			ops := rapid.SliceOfN(rapid.Custom(drawOp), 1, 5).Draw(rt, "ops")
			text, err := json.Marshal(ops)
			if err != nil {
				rt.Fatal(err)
			}
			a := r.at(82, "PATCH", "/v1/nodes/"+id, string(text))
			next, err := applyPlain(plain, text)
			if (a.status == 200) != (err == nil) {
				rt.Fatalf("%s on %s: answered %d %s; the plain document: %v", text, plain, a.status, a.text, err)
			}
			if err == nil {
				plain = next
			}
			var want, got map[string]any
			if err := json.Unmarshal(plain, &want); err != nil {
				rt.Fatal(err)
			}
			got = r.must(200, "GET", "/v1/nodes/"+id+"?fields=extra,properties,instance_info", nil).body
			delete(got, "links")
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("after %s (want -, got +):\n%s", text, diff)
			}
		}
		r.must(204, "DELETE", "/v1/nodes/"+id, nil)
	})
}

func applyPlain(doc, ops []byte) ([]byte, error) {
	p, err := jsonpatch.DecodePatch(ops)
	if err != nil {
		return nil, err
	}
	o := jsonpatch.NewApplyOptions()
	o.SupportNegativeIndices = false
	return p.ApplyWithOptions(doc, o)
}

// drawOp draws an operation on a small set of paths, so that they meet.
func drawOp(t *rapid.T) map[string]any {
	root := rapid.SampledFrom([]string{"/extra", "/properties", "/instance_info"})
	path := rapid.Custom(func(t *rapid.T) string {
		s := root.Draw(t, "root")
		for range rapid.IntRange(1, 3).Draw(t, "depth") {
			s += "/" + rapid.SampledFrom([]string{"a", "b", "c~1d", "0", "1", "-"}).Draw(t, "key")
		}
		return s
	})
	op := map[string]any{"op": rapid.SampledFrom([]string{"add", "add", "add", "replace", "remove", "move", "copy", "test"}).Draw(t, "op"), "path": path.Draw(t, "path")}
	switch op["op"] {
	case "move", "copy":
		op["from"] = path.Draw(t, "from")
	case "add", "replace", "test":
		op["value"] = rapid.SampledFrom([]any{1, "x", true, map[string]any{}, map[string]any{"a": 1}, []any{}, []any{"a", "b"}}).Draw(t, "value")
	}
	return op
}
