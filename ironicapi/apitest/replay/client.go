// Package replay asks a running service what Nova and metalsmith ask of Ironic,
// in their order and at their versions, as it was recorded of the real ones. The
// service and the hardware behind it may be any.
package replay

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// Machine is a node that a sequence works with: available, switched off, of the
// resource class rpi4 with the trait CUSTOM_POE, with one port and the network
// interface flat.
type Machine struct {
	UUID, Name string
	// Image and OtherImage are what image_source says. Nova gives the id of an
	// image of Glance; a service without Glance needs something else here.
	Image, OtherImage string
	// ConfigDrive is one as Nova sends it: an image, gzipped, in base64.
	ConfigDrive string
	// SoftTimeout is for how long Nova lets the operating system shut down, in
	// seconds; Nova's own is 60.
	SoftTimeout int
}

// patience is how long a state may take: real machines boot meanwhile.
const patience = 2 * time.Minute

// client is a program that speaks to the service over the network.
type client struct {
	t    *testing.T
	base string
}

// call sends a request at a version ("" = none); both headers go out, as openstacksdk's do.
func (c *client) call(status int, version, method, path string, body any) map[string]any {
	c.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if version != "" {
		req.Header.Set("X-OpenStack-Ironic-API-Version", version)
		req.Header.Set("OpenStack-API-Version", "baremetal "+version)
	}
	req.Header.Set("X-Auth-Token", "ignored")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if closeErr := answer.Body.Close(); err != nil || closeErr != nil {
		c.t.Fatal(err, closeErr)
	}
	if answer.StatusCode != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, answer.StatusCode, text, status)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return out
}

// poll repeats a request until done, for as long as patience lasts.
func (c *client) poll(what, version, path string, done func(map[string]any) bool) map[string]any {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a := c.call(200, version, "GET", path, nil)
		if done(a) {
			return a
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("still not %s after %s: %v", what, patience, a)
		}
		<-tick.C
	}
}

func listed(a map[string]any, key string) []map[string]any {
	var out []map[string]any
	list, _ := a[key].([]any)
	for _, item := range list {
		m, _ := item.(map[string]any)
		out = append(out, m)
	}
	return out
}

func op(kind, path string, value any) []any {
	return []any{map[string]any{"op": kind, "path": path, "value": value}}
}
