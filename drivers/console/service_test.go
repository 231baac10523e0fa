package console

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func symlink(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// jsonTwin is a Consoles on "another machine": everything goes through JSON.
type jsonTwin struct{ far Consoles }

func over[T any](v T) T {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out T
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

func (j jsonTwin) Start(ctx context.Context, spec Spec) (Info, error) {
	info, err := j.far.Start(ctx, over(spec))
	return over(info), err
}

func (j jsonTwin) Stop(ctx context.Context, nodeID string) error {
	return j.far.Stop(ctx, over(nodeID))
}

func (j jsonTwin) Get(ctx context.Context, nodeID string) (Status, error) {
	st, err := j.far.Get(ctx, over(nodeID))
	return over(st), err
}

func (j jsonTwin) List(ctx context.Context) ([]Status, error) {
	all, err := j.far.List(ctx)
	return over(all), err
}

func TestLifecycleThroughJSON(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	twin := jsonTwin{s}
	ctx := testContext(t)
	if _, err := twin.Get(ctx, nodeID); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Get before Start: %v", err)
	}
	spec := Spec{NodeID: nodeID, Name: "caddy-3", Port: m.port(), Type: TypeSocat}
	info := start(t, twin, spec)
	want := Status{NodeID: nodeID, Name: "caddy-3", Port: m.port(), Info: info, Line: LineUp}
	got, err := twin.Get(ctx, nodeID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Get: %v %s", err, diff)
	}
	all, err := twin.List(ctx)
	if diff := cmp.Diff([]Status{want}, all); err != nil || diff != "" {
		t.Errorf("List: %v %s", err, diff)
	}
	if again := start(t, twin, spec); again != info {
		t.Errorf("Start again: %+v, first %+v", again, info)
	}
	other := spec
	other.NodeID = "another-node"
	if _, err := twin.Start(ctx, other); err == nil || !strings.Contains(err.Error(), nodeID) {
		t.Errorf("a second console on the same line: %v", err)
	}
	spec.Type = TypeShellinabox
	web := start(t, twin, spec)
	if web.Type != TypeShellinabox || !strings.HasPrefix(web.URL, s.BaseURL()+"/console/"+nodeID+"/#") {
		t.Errorf("as a web page: %+v", web)
	}
	if again := start(t, twin, spec); again != web {
		t.Errorf("the link changed while the console was enabled")
	}
	for range 2 {
		if err := twin.Stop(ctx, nodeID); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if anew := start(t, twin, spec); anew.URL == web.URL {
		t.Error("the link did not change when the console was enabled anew")
	}
}

func TestBadSpecs(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	good := Spec{NodeID: nodeID, Port: "/dev/null", Type: TypeSocat}
	for name, change := range map[string]func(*Spec){
		"no node":       func(s *Spec) { s.NodeID = "" },
		"path as node":  func(s *Spec) { s.NodeID = "../etc" },
		"dots":          func(s *Spec) { s.NodeID = ".." },
		"no port":       func(s *Spec) { s.Port = "" },
		"relative path": func(s *Spec) { s.Port = "ttyUSB0" },
		"tcp no port":   func(s *Spec) { s.Port = "tcp://localhost" },
		"tcp port 0":    func(s *Spec) { s.Port = "tcp://localhost:0" },
		"tcp with path": func(s *Spec) { s.Port = "tcp://localhost:1/x" },
		"http":          func(s *Spec) { s.Port = "http://localhost:1" },
		"unknown type":  func(s *Spec) { s.Type = "vnc" },
		"bind port":     func(s *Spec) { s.BindPort = 70000 },
	} {
		spec := good
		change(&spec)
		if info, err := s.Start(t.Context(), spec); err == nil {
			t.Errorf("%s: accepted, %+v", name, info)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s    *Service
		want string // part of the error; empty means none
	}{
		"defaults":             {&Service{}, ""},
		"raw beyond loopback":  {&Service{BindHost: "192.0.2.1"}, "insecure"},
		"allowed":              {&Service{BindHost: "192.0.2.1", Insecure: true}, ""},
		"all addresses":        {&Service{Addr: ":0"}, "public console URL"},
		"with public URL":      {&Service{Addr: ":0", PublicURL: "https://pis.example.org/consoles/"}, ""},
		"bad public URL":       {&Service{PublicURL: "pis.example.org"}, "public console URL"},
		"public URL with hash": {&Service{PublicURL: "http://x/#y"}, "public console URL"},
		"half a range":         {&Service{PortMin: 7000}, "port range"},
		"range upside down":    {&Service{PortMin: 7001, PortMax: 7000}, "port range"},
		"no port":              {&Service{Addr: "localhost"}, "HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.s
			err := s.Listen(t.Context())
			defer func() { _ = s.Close() }()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	s := newService(t, func(s *Service) {
		s.BindHost, s.Insecure, s.PublicURL = "0.0.0.0", true, "https://pis.example.org/consoles/"
	})
	web := start(t, s, Spec{Port: "/dev/null", Type: TypeShellinabox})
	if !strings.HasPrefix(web.URL, "https://pis.example.org/consoles/console/"+nodeID+"/#") {
		t.Errorf("page at %q", web.URL)
	}
	raw := start(t, s, Spec{Port: "/dev/null", Type: TypeSocat})
	if !strings.HasPrefix(raw.URL, "tcp://pis.example.org:") {
		t.Errorf("raw console at %q", raw.URL)
	}
}

func TestKeptLog(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	dir := t.TempDir()
	s := newService(t, func(s *Service) { s.StateDir, s.LogSize = dir, 1000 })
	start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	far := m.conn()
	path := filepath.Join(dir, nodeID, "console.log")
	for i := range 20 {
		line := strings.Repeat(string(rune('a'+i)), 299) + "\n"
		write(t, far, line)
		eventually(t, "the line is kept", func() bool {
			text, err := os.ReadFile(path)
			return err == nil && strings.HasSuffix(string(text), line)
		})
	}
	if err := s.Stop(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 1+keptFiles {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil || st.Size() > 1000 || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st, err)
		}
	}
	oldest, err := os.ReadFile(path + ".3")
	if err != nil || !strings.HasPrefix(string(oldest), strings.Repeat("j", 299)) {
		t.Errorf("the oldest kept log begins with %.20q, %v", oldest, err)
	}
}

// Not parallel: it looks at all goroutines of the process.
func TestCloseLeavesNothingRunning(t *testing.T) {
	m, n := newMachine(t), newMachine(t)
	s := &Service{StateDir: t.TempDir()}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { served <- s.Serve(ctx) }()
	raw := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	page := start(t, s, Spec{NodeID: "web-node", Port: n.port(), Type: TypeShellinabox})
	start(t, s, Spec{NodeID: "down-node", Port: "/dev/no-such-device", Type: TypeShellinabox})
	_ = dialRaw(t, raw.URL)
	ws := dialPage(t, page.URL)
	write(t, ws, "x")
	waitViewers(t, s, 1)
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	_ = ws.Close()
	_ = m.ln.Close()
	_ = n.ln.Close()
	buf := make([]byte, 1<<20)
	ours := func() string {
		var left []string
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			mine := strings.Contains(g, "drivers/console.") || strings.Contains(g, "coder/websocket")
			// Parallel tests wait for this one, which also lists the goroutines.
			if mine && !strings.Contains(g, "testing.(*T).Parallel") && !strings.Contains(g, "TestCloseLeavesNothingRunning") {
				left = append(left, g)
			}
		}
		return strings.Join(left, "\n\n")
	}
	defer func() {
		if t.Failed() {
			t.Logf("left running:\n%s", ours())
		}
	}()
	eventually(t, "all goroutines end", func() bool { return ours() == "" })
	if _, err := s.Start(t.Context(), Spec{NodeID: nodeID, Port: "/dev/null", Type: TypeSocat}); err == nil {
		t.Error("a closed service started a console")
	}
}
