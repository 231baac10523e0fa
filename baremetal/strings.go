package baremetal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Strings is a list of strings kept as its JSON text. The zero value is the
// empty list. Like Object it is immutable, and can be sent to a client as it is.
type Strings string

// NewStrings encodes a list.
func NewStrings(list ...string) Strings {
	if len(list) == 0 {
		return ""
	}
	b, err := json.Marshal(list)
	if err != nil { // cannot happen: strings always encode
		return ""
	}
	return Strings(b)
}

// Text is the JSON text, "[]" for the empty list.
func (s Strings) Text() string {
	if s == "" {
		return "[]"
	}
	return string(s)
}

// List decodes the list; it belongs to the caller.
func (s Strings) List() []string {
	if s == "" {
		return nil
	}
	var list []string
	if json.Unmarshal([]byte(s), &list) != nil {
		return nil
	}
	return list
}

// Has tells whether the list holds the item.
func (s Strings) Has(item string) bool { return slices.Contains(s.List(), item) }

// Scan reads the list from a database column.
func (s *Strings) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*s = ""
	case string:
		*s = Strings(v)
	case []byte:
		*s = Strings(v)
	default:
		return errors.New("list column holds neither text nor bytes")
	}
	if *s == "[]" {
		*s = ""
	}
	return nil
}

// Steps is a list of steps kept as its JSON text; the zero value is the empty list.
type Steps string

// NewSteps encodes a list of steps; it fails only for arguments JSON cannot hold.
func NewSteps(list []Step) (Steps, error) {
	if len(list) == 0 {
		return "", nil
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("encoding steps: %w", err)
	}
	return Steps(b), nil
}

// List decodes the steps, numbers as json.Number; the list belongs to the caller.
func (s Steps) List() []Step {
	if s == "" {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(string(s)))
	dec.UseNumber()
	var list []Step
	if dec.Decode(&list) != nil {
		return nil
	}
	return list
}
