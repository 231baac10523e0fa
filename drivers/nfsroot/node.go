package nfsroot

import (
	"strings"

	"caddyshack/baremetal"
	"caddyshack/pxe/roots"
)

// kernelParams is instance_info.kernel_append_params, checked.
func kernelParams(n *baremetal.Node) (string, error) {
	const key = "kernel_append_params"
	if !strings.Contains(string(n.InstanceInfo), key) {
		return "", nil
	}
	v := n.InstanceInfo.Get(key)
	params, ok := v.(string)
	if !ok && v != nil {
		return "", baremetal.Errorf(baremetal.Invalid, "instance_info.%s must be a text", key)
	}
	return params, roots.CheckKernelParams(params)
}

// model is the capability "model", which inspection sets, or properties.model:
// the name of a model, or what a Pi calls itself ("Raspberry Pi 4 Model B Rev
// 1.4"). What it does not know is "".
func model(n *baremetal.Node) string {
	m := n.Properties.Str("model")
	for c := range strings.SplitSeq(n.Properties.Str("capabilities"), ",") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(c), "model:"); ok && m == "" {
			m = name
		}
	}
	switch name := roots.Model(m); name {
	case roots.Pi3, roots.Pi3Plus, roots.Pi4, roots.Pi5:
		return m
	}
	m = strings.TrimPrefix(m, "Raspberry Pi ")
	for _, known := range []struct {
		begins string
		model  roots.Model
	}{
		{"3 Model B Plus", roots.Pi3Plus}, {"3 Model B+", roots.Pi3Plus}, {"3 Model B", roots.Pi3},
		{"4 Model B", roots.Pi4}, {"400", roots.Pi4}, {"Compute Module 4", roots.Pi4},
		{"5 Model B", roots.Pi5}, {"500", roots.Pi5}, {"Compute Module 5", roots.Pi5},
	} {
		if strings.HasPrefix(m, known.begins) {
			return string(known.model)
		}
	}
	return ""
}
