package inspection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// act runs one action.
func (e *Engine) act(ctx context.Context, c Clause, s scope) error {
	a, err := arguments(c.Args, c.Op, actionArgs, s, true)
	if err != nil {
		return err
	}
	d := s.d
	unique := truth(a["unique"]) == yes
	switch c.Op {
	case "fail":
		return errors.New(a.text("msg"))
	case "log":
		e.say(a.text("level"), a.text("msg"))
		return nil
	case "set-attribute", "extend-attribute", "del-attribute":
		return edit(d.Node, strings.TrimSuffix(c.Op, "-attribute"), a, e.Settable, unique)
	case "set-plugin-data":
		return edit(d.PluginData, "set", a, nil, false)
	case "extend-plugin-data":
		return edit(d.PluginData, "extend", a, nil, unique)
	case "unset-plugin-data":
		return edit(d.PluginData, "del", a, nil, false)
	case "set-port-attribute", "extend-port-attribute", "del-port-attribute":
		port := d.port(a.text("port_id"))
		if port == nil {
			return fmt.Errorf("the node has no port %q", shortened(a.text("port_id")))
		}
		return edit(port, strings.TrimSuffix(c.Op, "-port-attribute"), a, e.PortSettable, unique)
	case "set-capability":
		return capability(d.Node, a.text("name"), a.text("value"), true)
	case "unset-capability":
		return capability(d.Node, a.text("name"), "", false)
	case "add-trait":
		return extend(d.Node, []string{"traits"}, a.text("name"), true)
	case "remove-trait":
		list, _ := d.Node["traits"].([]any)
		d.Node["traits"] = slices.DeleteFunc(slices.Clone(list), func(t any) bool { return t == a.text("name") })
		return nil
	case "api-call":
		return e.call(ctx, a)
	}
	return fmt.Errorf("there is no op %q", c.Op)
}

// edit changes what is at the path argument; root decides on the first part of it.
func edit(m map[string]any, how string, a args, root func(string) bool, unique bool) error {
	path, err := split(a.text("path"))
	if err != nil {
		return err
	}
	if root != nil && !root(path[0]) {
		return fmt.Errorf("the attribute %q cannot be changed by a rule", shortened(path[0]))
	}
	switch how {
	case "set":
		return set(m, path, a["value"])
	case "extend":
		return extend(m, path, a["value"], unique)
	}
	if root != nil && len(path) == 1 {
		m[path[0]] = nil // back to its default
		return nil
	}
	del(m, path)
	return nil
}

// port finds a port by uuid or MAC address.
func (d *Data) port(id string) map[string]any {
	for _, p := range d.Ports {
		if p["uuid"] == id || p["address"] == strings.ToLower(id) {
			return p
		}
	}
	return nil
}

// capability changes one of properties.capabilities, "k1:v1,k2:v2".
func capability(node map[string]any, name, value string, keep bool) error {
	if name == "" || strings.ContainsAny(name, ":,") || strings.ContainsAny(value, ",") {
		return fmt.Errorf("%q cannot be a capability", shortened(name))
	}
	old, _ := get(node, []string{"properties", "capabilities"})
	var list []string
	for item := range strings.SplitSeq(text(old), ",") {
		if key, _, _ := strings.Cut(item, ":"); item != "" && key != name {
			list = append(list, item)
		}
	}
	if keep {
		list = append(list, name+":"+value)
	}
	return set(node, []string{"properties", "capabilities"}, strings.Join(list, ","))
}

func (e *Engine) say(level, msg string) {
	if e.Log == nil {
		return
	}
	l := slog.LevelInfo
	switch strings.ToLower(level) {
	case "debug":
		l = slog.LevelDebug
	case "warning", "warn":
		l = slog.LevelWarn
	case "error", "critical":
		l = slog.LevelError
	}
	e.Log.Log(context.Background(), l, "inspection rule: "+msg)
}

// Limits of api-call.
const (
	usualTimeout   = 5 * time.Second
	longestTimeout = 30 * time.Second
	usualRetries   = 3
	mostRetries    = 5
)

func (e *Engine) call(ctx context.Context, a args) error {
	if e.Call == nil {
		return errors.New("api-call is not allowed here")
	}
	timeout, retries := usualTimeout, usualRetries
	if f, ok := number(a["timeout"]); ok && f > 0 {
		timeout = min(time.Duration(f*float64(time.Second)), longestTimeout)
	}
	if f, ok := number(a["retries"]); ok && f >= 0 {
		retries = int(min(f, mostRetries))
	}
	headers := map[string]string{}
	if h, ok := a["headers"].(map[string]any); ok {
		for key := range h {
			headers[key] = text(h[key])
		}
	}
	var err error
	for range retries + 1 {
		if err = e.Call(ctx, a.text("url"), headers, timeout); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}
