package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

func task(info map[string]any) *drivers.Task {
	return &drivers.Task{Node: baremetal.Node{UUID: nodeID, Name: "caddy-3", DriverInfo: baremetal.MustObject(info)}}
}

func TestDriverLifecycle(t *testing.T) {
	t.Parallel()
	far, path := newPTY(t)
	s := newService(t, nil)
	names := Interfaces(jsonTwin{s}, "caddy")
	ctx := testContext(t)
	tk := task(map[string]any{PortProperty: path})
	for name, kind := range map[string]string{"serial-socat": TypeSocat, "serial-shellinabox": TypeShellinabox} {
		d := names[name].(drivers.Console)
		if err := d.Validate(ctx, tk); err != nil {
			t.Errorf("%s: Validate: %v", name, err)
		}
		if _, err := d.Console(ctx, tk); !baremetal.IsKind(err, baremetal.Unavailable) {
			t.Errorf("%s: Console before StartConsole: %v", name, err)
		}
		for range 2 {
			if err := d.StartConsole(ctx, tk); err != nil {
				t.Fatalf("%s: StartConsole: %v", name, err)
			}
		}
		info, err := d.Console(ctx, tk)
		if err != nil || info.Type != kind {
			t.Errorf("%s: Console: %+v, %v", name, info, err)
		}
		// A line in use is valid without being opened a second time.
		if err := d.Validate(ctx, tk); err != nil {
			t.Errorf("%s: Validate while running: %v", name, err)
		}
		write(t, far, "hello")
		if st, err := s.Get(ctx, nodeID); err != nil || st.Name != "caddy-3" || st.Line != LineUp {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
		for range 2 {
			if err := d.StopConsole(ctx, tk); err != nil {
				t.Errorf("%s: StopConsole: %v", name, err)
			}
		}
	}
	none := names["no-console"].(drivers.Unsupported)
	if none.Unsupported() != "console" {
		t.Errorf("no-console lacks %q", none.Unsupported())
	}
}

func TestDriverValidate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	gone := m.port()
	_ = m.ln.Close()
	open := newMachine(t)
	d := Shellinabox(newService(t, nil))
	for name, c := range map[string]struct {
		info map[string]any
		want string // part of the error; empty means valid
	}{
		"tcp":           {map[string]any{PortProperty: open.port()}, ""},
		"absent":        {map[string]any{}, `Missing "console_port"`},
		"null":          {map[string]any{PortProperty: nil}, "want the absolute path"},
		"not text":      {map[string]any{PortProperty: []any{"x"}}, "want the absolute path"},
		"relative":      {map[string]any{PortProperty: "ttyUSB0"}, "want the absolute path"},
		"no device":     {map[string]any{PortProperty: filepath.Join(dir, "ttyUSB0")}, "plugged in"},
		"a file":        {map[string]any{PortProperty: file}, "not a serial device"},
		"nobody there":  {map[string]any{PortProperty: gone}, "does not answer"},
		"malformed tcp": {map[string]any{PortProperty: "tcp://x"}, "tcp://HOST:PORT"},
	} {
		err := d.Validate(testContext(t), task(c.info))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := d.StartConsole(t.Context(), task(nil)); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("StartConsole without a port: %v", err)
	}
}
