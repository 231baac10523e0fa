//go:build qemu

package card

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestRealFirmware makes the cards of the firmware as it is fetched, with the go
// command and over the network.
func TestRealFirmware(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Model: Pi4}, {Model: Pi3B, NoOTP: true}, {Model: Pi3B, Permanent: true}} {
		c, err := Make(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "card.img")
		if err := Write(path, c.Files, false); err != nil {
			t.Fatal(err)
		}
		if got := readByOthers(t, path); len(got) != len(c.Files) {
			t.Errorf("%+v: %d files", o, len(got))
		}
		if o.Model == Pi4 && (c.Bootloader < "2025-01-01" || !strings.Contains(c.Settings, "POWER_OFF_ON_HALT") || !strings.HasSuffix(c.Settings, "NET_INSTALL_AT_POWER_ON=0\n")) {
			t.Errorf("bootloader %s, settings\n%s", c.Bootloader, c.Settings)
		}
	}
}
