package baremetal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
)

// Object is a JSON object kept as its text. The zero value is the empty
// object. Being a string it is immutable: copies of a Node never share
// something that can change, and a list of nodes can be sent to a client
// without decoding what is inside.
type Object string

// NewObject encodes m; it fails only for values JSON cannot hold.
func NewObject(m map[string]any) (Object, error) {
	if len(m) == 0 {
		return "", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return "", fmt.Errorf("encoding object: %w", err)
	}
	return Object(bytes.TrimRight(b.Bytes(), "\n")), nil
}

// MustObject is NewObject for values made by the program itself, which always encode.
func MustObject(m map[string]any) Object {
	o, err := NewObject(m)
	if err != nil {
		panic(err)
	}
	return o
}

// ParseObject accepts the text of a JSON object and returns it in compact form.
func ParseObject(text []byte) (Object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return "", fmt.Errorf("decoding object: %w", err)
	}
	return NewObject(m)
}

// IsEmpty tells whether the object has no keys.
func (o Object) IsEmpty() bool { return o == "" || o == "{}" }

// Text is the JSON text, "{}" for the empty object.
func (o Object) Text() string {
	if o == "" {
		return "{}"
	}
	return string(o)
}

// Map decodes the object. Numbers are json.Number, so that what a client
// stored comes back digit for digit. The map belongs to the caller.
func (o Object) Map() map[string]any {
	m := map[string]any{}
	if o.IsEmpty() {
		return m
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(o)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil || m == nil {
		return map[string]any{}
	}
	return m
}

// Get returns the value under key, nil if there is none.
func (o Object) Get(key string) any { return o.Map()[key] }

// Has tells whether the key is there, with whatever value.
func (o Object) Has(key string) bool {
	_, ok := o.Map()[key]
	return ok
}

// Str returns the value under key as text: a string as it is, a number or
// boolean as JSON writes it, "" for anything else or nothing.
func (o Object) Str(key string) string {
	switch v := o.Get(key).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}

// Int returns the value under key as a whole number; strings of digits count,
// as clients send both.
func (o Object) Int(key string) (int, bool) {
	n, err := json.Number(o.Str(key)).Int64()
	return int(n), err == nil
}

// With returns the object with key set to value.
func (o Object) With(key string, value any) Object {
	m := o.Map()
	m[key] = value
	return MustObject(m)
}

// Without returns the object without the keys.
func (o Object) Without(keys ...string) Object {
	m := o.Map()
	for _, k := range keys {
		delete(m, k)
	}
	return MustObject(m)
}

// Keys returns the object's keys, sorted.
func (o Object) Keys() []string {
	m := o.Map()
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// MarshalJSON writes the text as it is.
func (o Object) MarshalJSON() ([]byte, error) { return []byte(o.Text()), nil }

// UnmarshalJSON accepts an object; null is the empty one.
func (o *Object) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		*o = ""
		return nil
	}
	p, err := ParseObject(b)
	if err != nil {
		return err
	}
	*o = p
	return nil
}

// Scan reads the object from a database column.
func (o *Object) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*o = ""
	case string:
		*o = Object(v)
	case []byte:
		*o = Object(v)
	default:
		return errors.New("object column holds neither text nor bytes")
	}
	if *o == "{}" {
		*o = ""
	}
	return nil
}
