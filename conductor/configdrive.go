package conductor

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// configDriveKey is where instance_info keeps a config drive.
const configDriveKey = "configdrive"

// readConfigDrive checks a config drive as PUT states/provision takes it, and
// returns what is kept: a URL, base64 of an image, or an object with the
// defaults of its meta_data filled in. The source of the rules is the API
// reference, section 6.2.
func readConfigDrive(text string, minor int, n *baremetal.Node) (any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, badConfigDrive()
	}
	switch v := v.(type) {
	case string:
		return v, checkDriveText(v)
	case map[string]any:
		return v, checkDriveObject(v, minor, n)
	}
	return nil, badConfigDrive()
}

func badConfigDrive() error {
	return baremetal.Errorf(baremetal.Invalid, "Invalid configdrive format: it is neither a JSON, nor a URL, nor a base64 string")
}

func checkDriveText(s string) error {
	if strings.Contains(s, "://") {
		scheme, rest, _ := strings.Cut(s, "://")
		if (scheme != "http" && scheme != "https") || rest == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return baremetal.Errorf(baremetal.Invalid, "Invalid configdrive: only http and https URLs can be fetched")
		}
		return nil
	}
	bare := strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, s)
	if _, err := base64.StdEncoding.DecodeString(bare); err != nil || bare == "" {
		return badConfigDrive()
	}
	return nil
}

// driveObjects is the version that brought config drives as objects.
const driveObjects = 56

// driveKeys are the parts of a config drive object, with the version that brought each.
var driveKeys = map[string]int{"meta_data": driveObjects, "user_data": driveObjects, "network_data": driveObjects, "vendor_data": 59}

func checkDriveObject(m map[string]any, minor int, n *baremetal.Node) error {
	if minor < driveObjects {
		return baremetal.Errorf(baremetal.NotAcceptable, "Request not acceptable. The minimal required API version should be 1.%d", driveObjects)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		since, known := driveKeys[key]
		switch v := m[key].(type) {
		case map[string]any, nil:
		case string, []any:
			if known && key != "user_data" {
				return baremetal.Errorf(baremetal.Invalid, "Invalid configdrive: %s must be an object", key)
			}
		default:
			return baremetal.Errorf(baremetal.Invalid, "Invalid configdrive: %s must not be %v", key, v)
		}
		if !known {
			return baremetal.Errorf(baremetal.Invalid,
				"Invalid configdrive: Additional properties are not allowed ('%s' was unexpected); it may hold meta_data, user_data, network_data and vendor_data", key)
		}
		if minor < since {
			return baremetal.Errorf(baremetal.NotAcceptable, "Request not acceptable. The minimal required API version should be 1.%d", since)
		}
	}
	meta, _ := m["meta_data"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	if _, ok := meta["uuid"]; !ok {
		meta["uuid"] = n.UUID
	}
	if _, ok := meta["name"]; !ok {
		meta["name"] = first(n.Name, n.UUID)
	}
	m["meta_data"] = meta
	return nil
}

// takesConfigDrive refuses a config drive that the node's deploy interface would
// drop: one that comes with the request, or that instance_info holds already.
func (c *Conductor) takesConfigDrive(n *baremetal.Node, given bool) error {
	if !given && (!strings.Contains(string(n.InstanceInfo), configDriveKey) || n.InstanceInfo.Get(configDriveKey) == nil) {
		return nil
	}
	impl, err := c.Registry.Interface(n, "deploy")
	if err != nil {
		return err
	}
	if d, ok := impl.(drivers.ConfigDriver); ok && d.TakesConfigDrive() {
		return nil
	}
	return baremetal.Errorf(baremetal.Invalid,
		"config drives are not supported yet by the deploy interface %s of driver %s; deploy without one (and remove configdrive from instance_info)",
		n.Interfaces["deploy"], n.Driver)
}
