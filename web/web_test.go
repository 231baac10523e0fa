package web

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// What is embedded was built from the sources beside it.
func TestDistIsBuiltFromSource(t *testing.T) {
	t.Parallel()
	sources, err := os.ReadDir("src")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	for _, e := range sources {
		want, err := os.ReadFile("src/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(Dist(), e.Name())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not src/%s: run web/build.sh (%v)", e.Name(), e.Name(), err)
		}
	}
	for _, name := range []string{"xterm.mjs", "xterm.css", "addon-fit.mjs", "licenses/xterm.txt", "licenses/xterm-addon-fit.txt"} {
		if text, err := fs.ReadFile(Dist(), name); err != nil || len(text) == 0 {
			t.Errorf("dist/%s: %v", name, err)
		}
	}
}

// The page works under a policy without inline scripts, and fetches nothing
// from elsewhere.
func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(Dist(), "console.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{"<script>", "onclick", "onload", "http:", "https:", "//"} {
		if strings.Contains(string(text), no) {
			t.Errorf("console.html contains %q", no)
		}
	}
}
