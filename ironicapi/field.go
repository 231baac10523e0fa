package ironicapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// fieldType is the JSON type of a field.
type fieldType string

const (
	typeString fieldType = "string"
	typeBool   fieldType = "boolean"
	typeObject fieldType = "object"
	typeArray  fieldType = "array"
	typeTime   fieldType = "date-time"
	typeNumber fieldType = "number"
)

// field is one field of a resource T.
type field[T any] struct {
	name  string
	since int
	typ   fieldType
	key   string // the name as it is written, with quotes and colon
	// enc appends the value.
	enc func(b []byte, e *encoding, t *T) []byte
	// get and set read and write the value as decoded JSON; nil is the default.
	// A field without set cannot be written.
	get func(t *T) any
	set func(t *T, v any, minor int) error

	listed   bool // in the default columns of a list
	sortable bool
	create   bool // may be set at creation
	patch    bool // may be changed by PATCH
	nullable bool
	hidden   bool // cannot be asked for by fields, and left out when fields is given
	required bool // must be given, and cannot be removed
}

// encoding is what encoders need besides the resource.
type encoding struct {
	base  string // of links, JSON-escaped
	minor int
	host  func(*baremetal.Node) string
}

// table is the fields of a resource.
type table[T any] struct {
	resource string // for error messages
	fields   []field[T]
}

func (t *table[T]) find(name string) *field[T] {
	for i := range t.fields {
		if t.fields[i].name == name {
			return &t.fields[i]
		}
	}
	return nil
}

// sortableKey tells since when a list can be sorted by key.
func (t *table[T]) sortableKey(key string) (since int, ok bool) {
	if f := t.find(key); f != nil && f.sortable {
		return f.since, true
	}
	return 0, false
}

// selection is the fields of one reply.
type selection[T any] []*field[T]

func (t *table[T]) choose(minor int, want func(*field[T]) bool) selection[T] {
	s := make(selection[T], 0, len(t.fields))
	for i := range t.fields {
		if f := &t.fields[i]; f.since <= minor && want(f) {
			s = append(s, f)
		}
	}
	return s
}

// all is the detailed view.
func (t *table[T]) all(minor int) selection[T] {
	return t.choose(minor, func(*field[T]) bool { return true })
}

// columns is the view of a list.
func (t *table[T]) columns(minor int) selection[T] {
	return t.choose(minor, func(f *field[T]) bool { return f.listed })
}

// named is the view asked for with fields: those, and links.
func (t *table[T]) named(minor int, names []string) (selection[T], error) {
	var unknown []string
	var tooNew error
	for _, name := range names {
		switch f := t.find(name); {
		case f == nil || f.hidden:
			unknown = append(unknown, name)
		case f.since > minor:
			tooNew = needsMinor(f.since)
		}
	}
	if unknown != nil {
		return nil, invalid("Field(s) \"%s\" are not valid", strings.Join(unknown, ", "))
	}
	if tooNew != nil {
		return nil, tooNew
	}
	return t.choose(minor, func(f *field[T]) bool { return f.name == "links" || slices.Contains(names, f.name) }), nil
}

// view reads fields and detail of a request: detailed is the path's own choice.
func (t *table[T]) view(c *call, detailed bool) (selection[T], error) {
	detail, err := c.boolArg("detail")
	if err != nil {
		return nil, err
	}
	if detail != nil {
		detailed = *detail
	}
	if names, ok := c.arg("fields"); ok {
		if detail != nil && *detail {
			return nil, invalid("Can't fetch a subset of fields with 'detail' set")
		}
		return t.named(c.minor, splitList(names))
	}
	if detailed {
		return t.all(c.minor), nil
	}
	return t.columns(c.minor), nil
}

func (s selection[T]) append(b []byte, e *encoding, t *T) []byte {
	b = append(b, '{')
	for i, f := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.key...)
		b = f.enc(b, e, t)
	}
	return append(b, '}')
}

// A check refuses a value; the text follows "Schema error for X: ".
type check func(s string) error

// schemaError is a value that does not fit its field; the table adds the resource's name.
type schemaError string

func (e schemaError) Error() string { return string(e) }

// assign sets a field from decoded JSON.
func (t *table[T]) assign(f *field[T], v *T, value any, minor int) error {
	err := f.set(v, value, minor)
	if s, ok := err.(schemaError); ok { //nolint:errorlint // setters return it bare
		return invalid("Schema error for %s: %s", t.resource, string(s))
	}
	return err
}

// create fills a new resource from the body of a POST.
func (t *table[T]) create(v *T, body map[string]any, minor int) error {
	names := make([]string, 0, len(body))
	for name := range body {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, value := t.find(name), body[name]
		if f == nil || !f.create {
			return invalid("Schema error for %s: Additional properties are not allowed ('%s' was unexpected)", t.resource, name)
		}
		if f.since > minor {
			if isEmpty(value) {
				continue
			}
			return needsMinor(f.since)
		}
		if value == nil && !f.nullable {
			return invalid("Schema error for %s: None is not of type '%s' in %s", t.resource, f.typ, name)
		}
		if err := t.assign(f, v, value, minor); err != nil {
			return err
		}
	}
	for i := range t.fields {
		if f := &t.fields[i]; f.required {
			if _, ok := body[f.name]; !ok {
				return invalid("Schema error for %s: '%s' is a required property", t.resource, f.name)
			}
		}
	}
	return nil
}

func isEmpty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case bool:
		return !x
	case string:
		return x == ""
	case map[string]any:
		return len(x) == 0
	case []any:
		return len(x) == 0
	}
	return false
}

// show writes a value for an error message, shortened.
func show(v any) string {
	const longest = 100
	var s string
	switch x := v.(type) {
	case string:
		s = x
	case json.Number:
		s = x.String()
	case nil:
		return "None"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	default:
		s = fmt.Sprint(x)
	}
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

func toBool(v any) (value, ok bool) {
	switch x := v.(type) {
	case bool:
		return x, true
	case string:
		return parseBool(x)
	case json.Number:
		return parseBool(x.String())
	}
	return false, false
}

func wrongType(v any, types ...string) error {
	if s, ok := v.(string); ok {
		v = "'" + s + "'"
	}
	return schemaError(fmt.Sprintf("%s is not of type '%s'", show(v), strings.Join(types, "', '")))
}

// toText checks a string value; nil becomes "".
func toText(v any, longest int, checks []check) (string, error) {
	if v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", wrongType(v, "string", "null")
	}
	if longest > 0 && len([]rune(s)) > longest {
		return "", schemaError(fmt.Sprintf("'%s' is too long", show(s)))
	}
	if strings.ContainsRune(s, 0) {
		return "", schemaError("a string must not contain the NUL character")
	}
	for _, ok := range checks {
		if err := ok(s); err != nil {
			return "", err
		}
	}
	return s, nil
}

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
