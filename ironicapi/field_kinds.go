package ironicapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"caddyshack/baremetal"
)

// option is a property of a field; they are combined with "|".
type option int

const (
	listed option = 1 << iota
	sortable
	creatable
	patchable
	hidden
	required
	notNull
)

func newField[T any](name string, since int, typ fieldType, o option, enc func([]byte, *encoding, *T) []byte) field[T] {
	return field[T]{name: name, since: since, typ: typ, key: `"` + name + `":`, enc: enc,
		listed: o&listed != 0, sortable: o&sortable != 0, create: o&creatable != 0, patch: o&patchable != 0,
		hidden: o&hidden != 0, required: o&required != 0, nullable: o&(notNull|required) == 0}
}

// text is a string field that is null when empty (or "" with notNull).
func text[T any](name string, since int, o option, at func(*T) *string, longest int, checks ...check) field[T] {
	enc := func(b []byte, _ *encoding, t *T) []byte { return appendNullable(b, *at(t)) }
	if o&notNull != 0 {
		enc = func(b []byte, _ *encoding, t *T) []byte { return appendString(b, *at(t)) }
	}
	f := newField(name, since, typeString, o, enc)
	f.get = func(t *T) any {
		if s := *at(t); s != "" || o&notNull != 0 {
			return s
		}
		return nil
	}
	f.set = func(t *T, v any, _ int) error {
		s, err := toText(v, longest, checks)
		if err == nil {
			*at(t) = s
		}
		return err
	}
	return f
}

// flag is a boolean field with a default.
func flag[T any](name string, since int, o option, def bool, at func(*T) *bool) field[T] {
	f := newField(name, since, typeBool, o, func(b []byte, _ *encoding, t *T) []byte { return appendBool(b, *at(t)) })
	f.on = def
	f.get = func(t *T) any { return *at(t) }
	f.set = func(t *T, v any, _ int) error {
		if v == nil {
			*at(t) = def
			return nil
		}
		x, ok := toBool(v)
		if !ok {
			return wrongType(v, "boolean")
		}
		*at(t) = x
		return nil
	}
	return f
}

// object is a field that holds a JSON object; its text is passed through as it
// is stored, unless it may hold a secret.
func object[T any](name string, since int, o option, at func(*T) *baremetal.Object, checks ...func(map[string]any) error) field[T] {
	f := newField(name, since, typeObject, o, func(b []byte, _ *encoding, t *T) []byte { return append(b, at(t).Text()...) })
	f.get = func(t *T) any { return at(t).Map() }
	f.set = setObject(at, checks)
	return f
}

// secretObject is an object whose secrets are shown as stars, and kept when
// the stars come back.
func secretObject[T any](name string, since int, o option, at func(*T) *baremetal.Object, checks ...func(map[string]any) error) field[T] {
	f := newField(name, since, typeObject, o, func(b []byte, _ *encoding, t *T) []byte { return appendMasked(b, *at(t)) })
	f.get = func(t *T) any {
		m := at(t).Map()
		mask(m)
		return m
	}
	plain := setObject(at, checks)
	f.set = func(t *T, v any, minor int) error {
		if m, ok := v.(map[string]any); ok {
			if err := unmask(m, at(t).Map()); err != nil {
				return err
			}
		}
		return plain(t, v, minor)
	}
	return f
}

func setObject[T any](at func(*T) *baremetal.Object, checks []func(map[string]any) error) func(*T, any, int) error {
	return func(t *T, v any, _ int) error {
		if v == nil {
			*at(t) = ""
			return nil
		}
		m, ok := v.(map[string]any)
		if !ok {
			return wrongType(v, "object", "null")
		}
		for _, ok := range checks {
			if err := ok(m); err != nil {
				return err
			}
		}
		o, err := baremetal.NewObject(m)
		if err != nil {
			return schemaError(err.Error())
		}
		*at(t) = o
		return nil
	}
}

// stamp is a read-only time.
func stamp[T any](name string, since int, o option, at func(*T) time.Time) field[T] {
	return newField(name, since, typeTime, o, func(b []byte, _ *encoding, t *T) []byte { return appendTime(b, at(t)) })
}

// shown is a read-only field with an encoder of its own.
func shown[T any](name string, since int, typ fieldType, o option, enc func([]byte, *encoding, *T) []byte) field[T] {
	return newField(name, since, typ, o, enc)
}

// links appends the pair of links of a resource.
func links[T any](kind string, id func(*T) string) field[T] {
	f := newField("links", 1, typeArray, listed|hidden, func(b []byte, e *encoding, t *T) []byte {
		return appendLinks(b, e.base, kind+"/", id(t), "")
	})
	return f
}

// appendLinks appends the self and bookmark links of path+id+rest; all three are
// made of characters that need no escaping.
func appendLinks(b []byte, base, path, id, rest string) []byte {
	b = append(b, `[{"href":"`...)
	b = append(b, base...)
	b = append(b, "/v1/"...)
	b = append(b, path...)
	b = append(b, id...)
	b = append(b, rest...)
	b = append(b, `","rel":"self"},{"href":"`...)
	b = append(b, base...)
	b = append(b, '/')
	b = append(b, path...)
	b = append(b, id...)
	b = append(b, rest...)
	return append(b, `","rel":"bookmark"}]`...)
}

// number is a whole number of a range; removed it becomes the lowest.
func number[T any](name string, since int, o option, lowest, highest int64, at func(*T) *int64) field[T] {
	f := newField(name, since, typeNumber, o, func(b []byte, _ *encoding, t *T) []byte { return strconv.AppendInt(b, *at(t), 10) })
	f.get = func(t *T) any { return json.Number(strconv.FormatInt(*at(t), 10)) }
	f.set = func(t *T, v any, _ int) error {
		if v == nil {
			*at(t) = lowest
			return nil
		}
		n, ok := wholeNumber(v)
		switch {
		case !ok:
			return wrongType(v, "integer")
		case n < lowest || n > highest:
			return schemaError(fmt.Sprintf("%d is not between %d and %d in %s", n, lowest, highest, name))
		}
		*at(t) = n
		return nil
	}
	return f
}
