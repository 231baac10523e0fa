package keystone

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Section is the one that OpenStack's services keep these settings in.
const Section = "keystone_authtoken"

// ReadINI reads the section [keystone_authtoken] of an OpenStack service's
// configuration file (oslo.config's form). Options of it that mean nothing here,
// such as memcached_servers, are passed over. Errors name file, line and option.
func ReadINI(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", path, errors.Unwrap(err))
	}
	sections, err := parseINI(string(text))
	if err != nil {
		return Config{}, fmt.Errorf("%s:%w", path, err)
	}
	options, ok := sections[Section]
	if !ok {
		return Config{}, fmt.Errorf("%s:1: there is no section [%s]", path, Section)
	}
	if other, ok := options["auth_section"]; ok && other.value != "" {
		login, ok := sections[other.value]
		if !ok {
			return Config{}, fmt.Errorf("%s:%d: auth_section: there is no section [%s]", path, other.line, other.value)
		}
		for name, o := range login {
			options[name] = o
		}
	}
	c, err := fromOptions(options)
	if err != nil {
		return Config{}, fmt.Errorf("%s:%w", path, err)
	}
	return c, nil
}

// option is a value and where it stands.
type option struct {
	value string
	line  int
}

// parseINI reads all sections; of an option that is there twice the last counts.
func parseINI(text string) (map[string]map[string]option, error) {
	sections := map[string]map[string]option{}
	current, last := "", ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		trimmed := strings.TrimLeft(line, " \t")
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case trimmed != line && last != "": // an indented line goes on with the value before it
			o := sections[current][last]
			o.value += "\n" + trimmed
			sections[current][last] = o
			continue
		case trimmed[0] == '[':
			name, ok := strings.CutSuffix(trimmed[1:], "]")
			if !ok {
				return nil, fmt.Errorf("%d: %q is not a section like [%s]", i+1, trimmed, Section)
			}
			current, last = strings.TrimSpace(name), ""
			if sections[current] == nil {
				sections[current] = map[string]option{}
			}
			continue
		}
		at := strings.IndexAny(trimmed, "=:")
		if at <= 0 {
			return nil, fmt.Errorf("%d: a line is neither a section nor an option like \"name = value\"", i+1)
		}
		if sections[current] == nil {
			sections[current] = map[string]option{}
		}
		last = strings.ReplaceAll(strings.TrimSpace(trimmed[:at]), "-", "_")
		sections[current][last] = option{unquote(strings.TrimSpace(trimmed[at+1:])), i + 1}
	}
	return sections, nil
}

// unquote takes off the quotes that a value may stand in.
func unquote(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

func fromOptions(options map[string]option) (c Config, err error) {
	text := func(names ...string) string {
		for _, name := range names {
			if v := options[name].value; v != "" {
				return v
			}
		}
		return ""
	}
	if o := options["auth_type"]; o.value != "" && o.value != "password" && o.value != "v3password" {
		return c, fmt.Errorf("%d: auth_type: %q is not supported; use password", o.line, o.value)
	}
	c = Config{
		AuthURL: text("auth_url"), Username: text("username", "user_name"), UserID: text("user_id"), Password: text("password"),
		UserDomainName: text("user_domain_name"), UserDomainID: text("user_domain_id", "default_domain_id"),
		ProjectName: text("project_name", "tenant_name"), ProjectID: text("project_id", "tenant_id"),
		ProjectDomainName: text("project_domain_name"), ProjectDomain: text("project_domain_id", "default_domain_id"),
		WWWAuthenticateURI: text("www_authenticate_uri", "auth_uri"),
		CAFile:             text("cafile"), CertFile: text("certfile"), KeyFile: text("keyfile"),
	}
	switch o := options["system_scope"]; o.value {
	case "":
	case "all":
		c.SystemScope = true
	default:
		return c, fmt.Errorf("%d: system_scope: %q is not known; the only scope is \"all\"", o.line, o.value)
	}
	if o := options["insecure"]; o.value != "" {
		if c.Insecure, err = strconv.ParseBool(strings.ToLower(o.value)); err != nil {
			return c, fmt.Errorf("%d: insecure: %q is neither true nor false", o.line, o.value)
		}
	}
	if c.CacheTime, err = seconds(options, "token_cache_time"); err != nil {
		return c, err
	}
	if c.Timeout, err = seconds(options, "http_connect_timeout"); err != nil {
		return c, err
	}
	if roles := text("service_token_roles"); roles != "" {
		for role := range strings.FieldsFuncSeq(roles, func(r rune) bool { return r == ',' || r == '\n' || r == ' ' }) {
			c.ServiceTokenRoles = append(c.ServiceTokenRoles, role)
		}
	}
	return c, nil
}

func seconds(options map[string]option, name string) (time.Duration, error) {
	o := options[name]
	if o.value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(o.value)
	if err != nil || n > 1<<30 {
		return 0, fmt.Errorf("%d: %s: %q is not a number of seconds", o.line, name, o.value)
	}
	if n <= 0 {
		return -1, nil
	}
	return time.Duration(n) * time.Second, nil
}
