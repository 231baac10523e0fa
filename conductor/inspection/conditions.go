package inspection

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// check evaluates one condition.
func check(op string, a args) (bool, error) {
	switch op {
	case "eq", "lt", "gt":
		return compare(op, a)
	case "is-empty":
		return isEmpty(a["value"]), nil
	case "is-none":
		return a["value"] == nil, nil
	case "is-true":
		return truth(a["value"]) == yes, nil
	case "is-false":
		return truth(a["value"]) == no, nil
	case "in-net":
		return inNet(a.text("address"), a.text("subnet"))
	case "matches", "contains":
		expr := a.text("regex")
		if op == "matches" {
			expr = "^(?:" + expr + ")$"
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return false, fmt.Errorf("regular expression %q: %w", shortened(a.text("regex")), err)
		}
		return re.MatchString(a.text("value")), nil
	case "one-of":
		list, ok := a["values"].([]any)
		if !ok {
			return false, fmt.Errorf("values must be a list")
		}
		return slices.ContainsFunc(list, func(v any) bool { return equal(v, a["value"]) }), nil
	}
	return false, fmt.Errorf("there is no op %q", op)
}

// compare holds for neighbours in the list of values.
func compare(op string, a args) (bool, error) {
	values, ok := a["values"].([]any)
	if !ok || len(values) < 2 {
		return false, fmt.Errorf("at least two values are needed")
	}
	asText := truth(a["force_strings"]) == yes
	for i := 1; i < len(values); i++ {
		x, y := values[i-1], values[i]
		if asText {
			x, y = text(x), text(y)
		}
		holds, err := pair(op, x, y)
		if err != nil || !holds {
			return false, err
		}
	}
	return true, nil
}

func pair(op string, x, y any) (bool, error) {
	if op == "eq" {
		return equal(x, y), nil
	}
	if op == "gt" {
		x, y = y, x
	}
	p, okP := number(x)
	q, okQ := number(y)
	if okP && okQ {
		return p < q, nil
	}
	s, okS := x.(string)
	t, okT := y.(string)
	if okS && okT {
		return s < t, nil
	}
	return false, fmt.Errorf("%s and %s cannot be compared; force_strings compares them as texts", shortened(text(x)), shortened(text(y)))
}

func isEmpty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case string:
		return x == ""
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

type verdict int

const (
	neither verdict = iota
	yes
	no
)

// truth reads booleans, numbers and the words for them.
func truth(v any) verdict {
	switch x := v.(type) {
	case nil:
		return no
	case bool:
		if x {
			return yes
		}
		return no
	case string:
		switch strings.ToLower(strings.TrimSpace(x)) {
		case "yes", "true", "1", "on":
			return yes
		case "no", "false", "0", "off":
			return no
		}
		return neither
	}
	if f, ok := number(v); ok {
		if f != 0 {
			return yes
		}
		return no
	}
	return neither
}

func inNet(address, subnet string) (bool, error) {
	net, err := netip.ParsePrefix(subnet)
	if err != nil {
		return false, fmt.Errorf("subnet %q is none, like 10.0.0.0/8", shortened(subnet))
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && net.Contains(ip.Unmap()), nil
}
