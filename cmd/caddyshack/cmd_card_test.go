package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/pxe/card"
)

func TestPrepareCard(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "card.img")
	for _, n := range []string{"bootcode.bin", "start.elf", "fixup.dat"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	c := &prepareCardCmd{Model: "Pi3B", Permanent: true, Firmware: dir, Out: out}
	if err := c.run(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "PERMANENT") || !strings.Contains(said.String(), "bootcode.bin") {
		t.Errorf("it says\n%s", &said)
	}
	files, err := card.Read(out)
	if err != nil || len(files) != 4 {
		t.Errorf("the image holds %d files, %v", len(files), err)
	}
	// Through the command line: what was meant wrongly is exit code 2, and
	// nothing is touched.
	for _, args := range [][]string{
		{"--model", "pi3b", "--permanent", "--firmware", dir, out}, // it exists
		{"--model", "pi3b", "--firmware", dir, out + "2"},          // which?
		{"--model", "pi4", "--firmware", dir, out + "2"},           // no EEPROM image there
		{"--model", "pi9", out + "2"}, {"--model", "pi4", "/dev/null"}, {out + "2"},
	} {
		if code := run(t.Context(), append([]string{"prepare-card"}, args...)); code != exitUsage {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
	if _, err := os.Stat(out + "2"); err == nil {
		t.Error("a refusal left an image")
	}
}
