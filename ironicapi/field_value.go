package ironicapi

import (
	"encoding/json"
	"fmt"
	"strings"
)

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
