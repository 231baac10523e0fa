package card

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
)

// section is a section of an EEPROM image.
func section(magic uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	for len(b)%8 != 0 {
		b = append(b, 0xff)
	}
	return b
}

// eepromFile is a section that holds a file.
func eepromFile(name, text string) []byte {
	body := make([]byte, fileName)
	copy(body, name)
	return section(fileMagic, append(body, text...))
}

// fakeEEPROM is an image of a model with sections before its configuration, and
// after it what the bootloader keeps at the end.
func fakeEEPROM(m Model, config string, more ...[]byte) []byte {
	b := bytes.Join(append([][]byte{section(sectionMagic, make([]byte, 1001)), eepromFile("pubkey.bin", "key"), eepromFile(configFile, config)}, more...), nil)
	b = append(b, bytes.Repeat([]byte{0xff}, eepromSize(m)-len(b))...)
	copy(b[len(b)-8:], "reserved")
	return b
}

const oldConfig = "[all]\nBOOT_UART=0\nWAKE_ON_GPIO=1\nNET_INSTALL_AT_POWER_ON=1\nBOOT_ORDER=0xf41\n\n[none]\r\nX=1\n"

func TestEEPROMConfig(t *testing.T) {
	t.Parallel()
	old := fakeEEPROM(Pi4, oldConfig)
	if got, err := readConfig(old); err != nil || got != oldConfig {
		t.Fatalf("%q, %v", got, err)
	}
	want := "[all]\nWAKE_ON_GPIO=1\n\n[none]\nX=1\n[all]\nBOOT_UART=1\nBOOT_ORDER=0xf21\nNET_INSTALL_ENABLED=0\nNET_INSTALL_AT_POWER_ON=0\n"
	merged := mergeConfig(oldConfig, bootSettings(Pi4))
	if d := cmp.Diff(want, merged); d != "" {
		t.Errorf("merged (-want +got):\n%s", d)
	}
	if again := mergeConfig(merged, bootSettings(Pi4)); !strings.HasSuffix(again, "NET_INSTALL_AT_POWER_ON=0\n") || strings.Count(again, "BOOT_ORDER") != 1 {
		t.Errorf("merged twice:\n%s", again)
	}
	for _, text := range []string{merged, "", "short\n", strings.Repeat("#", maxConfig)} {
		img, err := writeConfig(old, text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readConfig(img); err != nil || got != text {
			t.Errorf("%q reads back as %q, %v", text, got, err)
		}
		// Nothing else has changed, and nothing is left of what was there.
		at, _, err := findConfig(old)
		if err != nil {
			t.Fatal(err)
		}
		end := at + sectionHead + fileName + len(text)
		if !bytes.Equal(img[:at+4], old[:at+4]) || len(bytes.Trim(img[end:len(img)-8], "\xff")) > 0 || string(img[len(img)-8:]) != "reserved" {
			t.Errorf("%.20q changed more than the configuration", text)
		}
	}
	if _, err := writeConfig(old, strings.Repeat("#", maxConfig+1)); err == nil {
		t.Error("a configuration that is too long was written")
	}
	for name, img := range map[string][]byte{
		"empty": nil, "erased": bytes.Repeat([]byte{0xff}, 512<<10), "no config": fakeEEPROM(Pi4, "")[:1008],
		"followed": fakeEEPROM(Pi4, oldConfig, eepromFile("more", "x")), "cut length": func() []byte { b := bytes.Clone(old); b[4] = 0xff; return b }(),
	} {
		if _, err := readConfig(img); !errors.Is(err, errLayout) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzEEPROM(f *testing.F) {
	f.Add(fakeEEPROM(Pi4, oldConfig)[:2048], "a=b")
	f.Fuzz(func(t *testing.T, img []byte, text string) {
		img = append(img, bytes.Repeat([]byte{0xff}, 2*reservedEnd)...)
		out, err := writeConfig(img, text)
		if err != nil {
			return
		}
		if got, err := readConfig(out); err != nil || got != text || len(out) != len(img) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// firmwareFolder holds firmware of every model's names.
func firmwareFolder(t *testing.T, m Model) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"pieeprom-2024-01-01.bin": fakeEEPROM(m, "old"), "pieeprom-2025-11-05.bin": fakeEEPROM(m, oldConfig), "pieeprom-x.bin": nil, "recovery.bin": []byte("recovery"),
		"bootcode.bin": []byte("bootcode"), "start.elf": bytes.Repeat([]byte("start"), 1<<19), "fixup.dat": []byte("fixup"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCards(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		o     Options
		files []string
	}{
		"pi3 permanent": {Options{Model: Pi3B, Permanent: true}, []string{"bootcode.bin", "start.elf", "fixup.dat", "config.txt"}},
		"pi3 no otp":    {Options{Model: Pi3B, NoOTP: true}, []string{"bootcode.bin"}},
		"pi4":           {Options{Model: Pi4}, []string{"recovery.bin", "pieeprom.bin", "pieeprom.sig"}},
		"pi5":           {Options{Model: Pi5}, []string{"recovery.bin", "pieeprom.bin", "pieeprom.sig"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.o.Firmware, tc.o.Now = firmwareFolder(t, tc.o.Model), now
			c, err := Make(t.Context(), tc.o)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "card.img")
			if err := Write(path, c.Files, false); err != nil {
				t.Fatal(err)
			}
			got := readByOthers(t, path)
			var names []string
			for _, f := range c.Files {
				names = append(names, f.Name)
				if !bytes.Equal(got[f.Name], f.Data) {
					t.Errorf("%s has %d bytes, want %d", f.Name, len(got[f.Name]), len(f.Data))
				}
			}
			if d := cmp.Diff(tc.files, names); d != "" || len(got) != len(names) {
				t.Errorf("%d files (-want +got):\n%s", len(got), d)
			}
			if tc.o.Model == Pi3B {
				if tc.o.Permanent != strings.Contains(string(got["config.txt"]), "\nprogram_usb_boot_mode=1\n") {
					t.Errorf("config.txt is %q", got["config.txt"])
				}
				return
			}
			settings, err := readConfig(got["pieeprom.bin"])
			if err != nil || c.Bootloader != "2025-11-05" || settings != c.Settings || !strings.Contains(settings, "\nBOOT_ORDER=0xf21\n") ||
				strings.Contains(settings, "PSU_MAX_CURRENT=5000\n") != (tc.o.Model == Pi5) {
				t.Errorf("bootloader %s, settings %q, %v", c.Bootloader, settings, err)
			}
			sum := sha256.Sum256(got["pieeprom.bin"])
			if want := hex.EncodeToString(sum[:]) + "\nts: 1700000000\n"; string(got["pieeprom.sig"]) != want {
				t.Errorf("pieeprom.sig is %q, want %q", got["pieeprom.sig"], want)
			}
		})
	}
}

// readByOthers reads the image's files with mtools, after a look with fsck.fat
// (Debian packages mtools, dosfstools).
func readByOthers(t *testing.T, path string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if data[510] != 0x55 || data[511] != 0xaa || data[450] != 0x0c {
		t.Errorf("the MBR ends with % x, and its first partition has type %#x", data[510:512], data[450])
	}
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, data[partStart:], 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.CommandContext(t.Context(), "/usr/sbin/fsck.fat", "-n", part).CombinedOutput(); err != nil {
		t.Errorf("fsck.fat: %v\n%s", err, b)
	}
	out := t.TempDir()
	if b, err := exec.CommandContext(t.Context(), "mcopy", "-s", "-i", fmt.Sprintf("%s@@%d", path, partStart), "::*", out).CombinedOutput(); err != nil {
		t.Fatalf("mcopy: %v\n%s", err, b)
	}
	list, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range list {
		if files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir4, dir5, empty := firmwareFolder(t, Pi4), firmwareFolder(t, Pi5), t.TempDir()
	for name, tc := range map[string]struct {
		o    Options
		says string
	}{
		"no model":         {Options{}, "the models are"},
		"pi3b+":            {Options{Model: "pi3b+"}, "needs no card"},
		"pi3 undecided":    {Options{Model: Pi3B, Firmware: dir4}, "NEVER be undone"},
		"pi3 both":         {Options{Model: Pi3B, Firmware: dir4, Permanent: true, NoOTP: true}, "--no-otp"},
		"pi4 permanent":    {Options{Model: Pi4, Firmware: dir4, Permanent: true}, "can be changed again"},
		"pi4 for pi5":      {Options{Model: Pi4, Firmware: dir5}, "for another model"},
		"pi5 for pi4":      {Options{Model: Pi5, Firmware: dir4}, "for another model"},
		"no folder":        {Options{Model: Pi5, Firmware: filepath.Join(dir4, "nothing")}, "no folder"},
		"empty folder":     {Options{Model: Pi5, Firmware: empty}, "has no pieeprom-DATE.bin"},
		"empty folder pi3": {Options{Model: Pi3B, Permanent: true, Firmware: empty}, "bootcode.bin"},
		"no go":            {Options{Model: Pi4, Go: "/nonexistent/go"}, "--firmware"},
	} {
		if _, err := Make(t.Context(), tc.o); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(pi5Folders()[0]); err != nil {
		if _, err := Make(t.Context(), Options{Model: Pi5}); err == nil || !strings.Contains(err.Error(), "firmware-2712/latest") {
			t.Errorf("a Pi 5 without a folder: %v", err)
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "card.img")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []File{{"bootcode.bin", []byte("x")}}
	for target, says := range map[string]string{path: "--force", dir: "is a folder", "/dev/null": "is a device", "/dev/no-such-card": "is a device", filepath.Join(dir, "no", "x.img"): "no such file"} {
		if err := Write(target, files, false); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if err := Write("/dev/null", files, true); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("a device by force: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Fatalf("the file is %.10q, %v", b, err)
	}
	if err := Write(path, files, true); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || !equal(got, files) {
		t.Errorf("by force: %+v, %v", got, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}
