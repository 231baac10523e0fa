package ironicapi

import (
	"slices"
	"strings"

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
	on       bool // a flag that is true by default
}

// isDefault tells whether giving a value says no more than leaving it out.
func (f *field[T]) isDefault(v any) bool {
	if !f.on || v == nil {
		return isEmpty(v)
	}
	b, ok := toBool(v)
	return ok && b
}

// encoding is what encoders need besides the resource.
type encoding struct {
	base  string // of links, JSON-escaped
	minor int
	host  func(*baremetal.Node) string
	may   func(rule, target) bool // what the caller may do
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

// chosen is the view of a single one: all fields, or those asked for.
func (t *table[T]) chosen(c *call) (selection[T], error) {
	if names, ok := c.arg("fields"); ok {
		return t.named(c.minor, splitList(names))
	}
	return t.all(c.minor), nil
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
			if f.isDefault(value) {
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
