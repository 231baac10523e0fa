package ironicapi

import (
	"testing"

	"pgregory.net/rapid"

	"caddyshack/baremetal"
)

// anyValue draws a JSON value with keys that are secrets, nearly are, or need escapes.
func anyValue(depth int) *rapid.Generator[any] {
	key := rapid.OneOf(
		rapid.SampledFrom([]string{"password", "Fake_PASSWORD", "configdrive", "image_url", "pas", "rack", "", "a\"b", "to\\ken", "<community>", "p\u00e4ss", "x\u2028token"}),
		rapid.String())
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(v bool) any { return v }), rapid.Map(rapid.Int(), func(v int) any { return v }),
		rapid.Map(rapid.String(), func(v string) any { return v }),
		rapid.SampledFrom([]any{"}", "]", ",", ":", "\"", "\\", "\\\"", "password\":", "<&>", "", 1.5e-7}),
	}
	if depth > 0 {
		inner := anyValue(depth - 1)
		kinds = append(kinds,
			rapid.Map(rapid.MapOfN(key, inner, 0, 4), func(v map[string]any) any { return v }),
			rapid.Map(rapid.SliceOfN(inner, 0, 3), func(v []any) any { return v }))
	}
	return rapid.OneOf(kinds...)
}

// TestMaskedTextIsMask compares masking in the text with masking what it stands for.
func TestMaskedTextIsMask(t *testing.T) {
	t.Parallel()
	const before = "before"
	rapid.Check(t, func(t *rapid.T) {
		o := baremetal.MustObject(rapid.MapOfN(rapid.SampledFrom([]string{"driver_password", "configdrive", "a", "b\"", "token"}), anyValue(3), 0, 4).Draw(t, "object"))
		m := o.Map()
		mask(m)
		want := before + baremetal.MustObject(m).Text()
		if got := string(appendMasked([]byte(before), o)); got != want {
			t.Fatalf("masked\n%s\ngot  %s\nwant %s", o, got, want)
		}
		if got, ok := appendMaskedText([]byte(before), o.Text()); ok && string(got) != want || !ok && string(got) != before {
			t.Fatalf("masked as text (%v)\n%s\ngot  %s\nwant %s", ok, o, got, want)
		}
	})
}

// FuzzMaskedText looks for texts that are no JSON and lead astray.
func FuzzMaskedText(f *testing.F) {
	f.Add(`{"password":`)
	f.Add(`{"password":"x\\"`)
	f.Add(`{"token":[1,{"a":"]"}],"b":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		if b, ok := appendMaskedText(nil, text); !ok && len(b) > 0 {
			t.Errorf("%q left %q", text, b)
		}
	})
}
