package ironicapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"caddyshack/baremetal"
)

// param is one query parameter of a route.
type param struct {
	name   string
	since  int
	before int // status before that version; 0 = 406
	doc    string
}

// anyParams lets a route take whatever comes.
const anyParams = "*"

var (
	pagingParams = []param{
		{name: "limit", since: 1, doc: "most items to return"},
		{name: "marker", since: 1, doc: "the last item of the page before"},
		{name: "sort_key", since: 1, doc: "field to sort by"},
		{name: "sort_dir", since: 1, doc: "asc or desc"},
	}
	fieldsParam = param{name: "fields", since: 8, doc: "comma list of fields to return"}
	detailParam = param{name: "detail", since: 43, before: http.StatusBadRequest, doc: "return all fields"}
)

func params(lists ...[]param) []param { return slices.Concat(lists...) }

// checkQuery parses the query and refuses what the route does not know.
func (c *call) checkQuery() error {
	if c.r.URL.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("The query cannot be parsed: %s", err)
	}
	c.values = values
	var unknown []string
	var tooNew error
	for name, given := range values {
		for _, v := range given {
			if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
				return invalid("The query parameter %s is not text.", show(name))
			}
		}
		i := slices.IndexFunc(c.route.query, func(p param) bool { return p.name == name || p.name == anyParams })
		if i < 0 {
			unknown = append(unknown, name)
			continue
		}
		if p := c.route.query[i]; c.minor < p.since {
			tooNew = needsMinor(p.since)
			if p.before == http.StatusBadRequest {
				tooNew = invalid("Unexpected arguments: %s. The minimal required API version should be %s", name, minorText(p.since))
			}
		}
	}
	if unknown != nil {
		slices.Sort(unknown)
		return invalid("Unexpected arguments: %s", strings.Join(unknown, ", "))
	}
	return tooNew
}

// arg returns a parameter and whether it is there.
func (c *call) arg(name string) (string, bool) {
	if c.values == nil {
		return "", false
	}
	v, ok := c.values[name]
	if !ok {
		return "", false
	}
	return v[0], true
}

// parseBool reads the spellings of booleans that clients use.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true, true
	case "0", "f", "false", "off", "n", "no":
		return false, true
	}
	return false, false
}

// boolArg returns nil if the parameter is not there.
func (c *call) boolArg(name string) (*bool, error) {
	s, ok := c.arg(name)
	if !ok {
		return nil, nil
	}
	v, ok := parseBool(s)
	if !ok {
		return nil, invalid("Invalid %s: Unrecognized value '%s', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'", name, s)
	}
	return &v, nil
}

// textArg returns nil if the parameter is not there.
func (c *call) textArg(name string) *string {
	s, ok := c.arg(name)
	if !ok {
		return nil
	}
	return &s
}

// uuidArg is textArg for a uuid.
func (c *call) uuidArg(name string) (*string, error) {
	s := c.textArg(name)
	if s != nil && !baremetal.IsUUID(*s) {
		return nil, invalid("Expected UUID for %s: %s.", name, *s)
	}
	return s, nil
}

// splitExact reads a comma list whose items are compared as they are.
func splitExact(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// splitList reads a comma list: trimmed, lower case, each item once.
func splitList(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if item != "" && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// page reads limit, marker, sort_key and sort_dir; sortable maps the keys that
// may be sorted by to the version that brought them.
func (c *call) page(sortable func(key string) (since int, ok bool)) (baremetal.Page, error) {
	p := baremetal.Page{Limit: c.api.MaxLimit}
	if s, ok := c.arg("limit"); ok {
		n, err := strconv.Atoi(s)
		if err != nil || n <= 0 {
			return p, invalid("Limit must be positive")
		}
		p.Limit = min(n, c.api.MaxLimit)
	}
	p.Marker, _ = c.arg("marker")
	if key, ok := c.arg("sort_key"); ok && key != "id" && key != "" {
		since, ok := sortable(key)
		if !ok {
			return p, invalid("The sort_key value \"%s\" is an invalid field for sorting", key)
		}
		if c.minor < since {
			return p, needsMinor(since)
		}
		p.SortBy = key
	}
	switch dir, ok := c.arg("sort_dir"); {
	case !ok || dir == "asc":
	case dir == "desc":
		p.Desc = true
	default:
		return p, invalid("Invalid sort direction: %s. Acceptable values are 'asc' or 'desc'", dir)
	}
	return p, nil
}

// appendNext closes a list of which count items are in the buffer: next is
// there when the page is full, keeps every filter, and is also given in the
// form gophercloud looks for.
func (c *call) appendNext(linksKey string, count int, p baremetal.Page, last string) {
	if count == p.Limit && count > 0 {
		q := url.Values{}
		for k, v := range c.values {
			q[k] = v
		}
		q.Set("limit", strconv.Itoa(p.Limit))
		q.Set("marker", last)
		next := c.linkBase() + c.r.URL.Path + "?" + q.Encode()
		c.buf = append(c.buf, `,"next":"`...)
		c.buf = append(c.buf, next...)
		c.buf = append(c.buf, `","`...)
		c.buf = append(c.buf, linksKey...)
		c.buf = append(c.buf, `":[{"href":"`...)
		c.buf = append(c.buf, next...)
		c.buf = append(c.buf, `","rel":"next"}]`...)
	}
}
