package nfsroot

import (
	"encoding/json"
	"strings"
	"testing"

	"caddyshack/baremetal"
)

func TestModel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"pi3": "pi3", "pi3plus": "pi3plus", "pi5": "pi5", "Raspberry Pi 3 Model B Rev 1.2": "pi3", "Raspberry Pi 3 Model B Plus Rev 1.3": "pi3plus",
		"Raspberry Pi 4 Model B Rev 1.4": "pi4", "Raspberry Pi 5 Model B Rev 1.0": "pi5", "Raspberry Pi Compute Module 4": "pi4", "": "", "Odroid": "", "pi9": "",
	} {
		if got := model(&baremetal.Node{Properties: baremetal.MustObject(map[string]any{"model": in})}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestModelOfCapabilities(t *testing.T) {
	t.Parallel()
	for properties, want := range map[string]string{
		`{"capabilities":"boot_mode:uefi, model:pi5"}`: "pi5", `{"capabilities":"model:pi5","model":"pi4"}`: "pi4", `{"capabilities":"supermodel:pi5"}`: "", `{}`: "",
	} {
		if got := model(&baremetal.Node{Properties: baremetal.Object(properties)}); got != want {
			t.Errorf("%s: %q, want %q", properties, got, want)
		}
	}
}

// Attack 9 of those a deploy must survive: what would end the line or hide the
// root is refused before anything is done.
func TestKernelParams(t *testing.T) {
	t.Parallel()
	for params, says := range map[any]string{
		"quiet\ninit=/bin/sh": "one line", `"; reboot`: "quotes", strings.Repeat("x", 5<<10): "at most", "root=/dev/sda": "leave it out", "rootfstype=ext4": "leave it out",
		"a\x00b": "one line", "é": "one line", true: "must be a text", "quiet": "", "%default% quiet": "",
	} {
		_, err := kernelParams(&baremetal.Node{InstanceInfo: baremetal.MustObject(map[string]any{"kernel_append_params": params})})
		if says == "" && err != nil || says != "" && (!baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%.40v: %v", params, err)
		}
	}
}

func TestConfigDriveOfNode(t *testing.T) {
	t.Parallel()
	for info, want := range map[string]string{
		`{}`: "", `{"configdrive":""}`: "", `{"configdrive":null}`: "", `{"configdrive":"H4sI"}`: `"H4sI"`, `{"configdrive":{"meta_data":{"a":1}}}`: `{"meta_data":{"a":1}}`,
	} {
		if got := configDrive(&baremetal.Node{InstanceInfo: baremetal.Object(info)}); string(got) != want || want != "" && !json.Valid(got) {
			t.Errorf("%s: %s", info, got)
		}
	}
}
