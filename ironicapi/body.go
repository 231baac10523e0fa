package ironicapi

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// readBody returns the decoded body, nil if there is none.
func (c *call) readBody() (any, error) {
	limit := int64(c.route.body)
	if c.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if err != nil {
		if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
			return nil, tooLarge(limit)
		}
		return nil, invalid("The request body could not be read: %s", err)
	}
	if len(text) == 0 {
		return nil, nil
	}
	return decodeJSON(text)
}

func tooLarge(limit int64) error {
	return baremetal.Errorf(baremetal.TooLarge, "The request body is larger than the %d bytes allowed here.", limit)
}

// readObject returns the body as an object; none is an empty one. Keys that are
// not in known are refused, unless known is nil.
func (c *call) readObject(known ...string) (map[string]any, error) {
	v, err := c.readBody()
	if err != nil {
		return nil, err
	}
	if v == nil {
		return map[string]any{}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("The request body must be a JSON object.")
	}
	if known != nil {
		var unknown []string
		for k := range m {
			if !slices.Contains(known, k) {
				unknown = append(unknown, k)
			}
		}
		if unknown != nil {
			slices.Sort(unknown)
			return nil, invalid("Unexpected arguments: %s", strings.Join(unknown, ", "))
		}
	}
	return m, nil
}

// missing is the answer to a body without something it needs.
func missing(name string) error { return invalid("Missing mandatory parameter: %s", name) }

// textIn returns a string of the body; required or "".
func textIn(m map[string]any, name string, required bool) (string, error) {
	v, ok := m[name]
	if !ok || v == nil {
		if required {
			return "", missing(name)
		}
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", invalid("Expected string for %s: %s", name, show(v))
	}
	if strings.ContainsRune(s, 0) {
		return "", invalid("%s must not contain the NUL character", name)
	}
	return s, nil
}

// boolIn returns a boolean of the body in any spelling; ok tells whether it is there.
func boolIn(m map[string]any, name string) (value, ok bool, err error) {
	v, ok := m[name]
	if !ok || v == nil {
		return false, false, nil
	}
	value, good := toBool(v)
	if !good {
		return false, true, invalid("Invalid %s: Unrecognized value '%s', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'", name, show(v))
	}
	return value, true, nil
}
