package configdrive

import (
	"bytes"
	"encoding/json"
	"maps"
)

// NoCloud returns the files of a seed folder of cloud-init's data source NoCloud
// (/var/lib/cloud/seed/nocloud). instanceID is used if meta_data has no uuid,
// bootMAC is that of the interface that the root comes over.
func (d Drive) NoCloud(instanceID, hostname, bootMAC string) (map[string][]byte, error) {
	keys, err := d.Keys()
	if err != nil {
		return nil, err
	}
	meta := maps.Clone(d.MetaData)
	if meta == nil {
		meta = map[string]any{}
	}
	// Passwords are not for a file that every program of the machine can read.
	delete(meta, "admin_pass")
	delete(meta, "files")
	if id, _ := meta["uuid"].(string); id != "" {
		instanceID = id
	}
	meta["instance-id"] = instanceID
	if hostname != "" {
		meta["local-hostname"] = hostname
	}
	if len(keys) > 0 {
		meta["public-keys"] = keys
	}
	// JSON is YAML. The user data must be there, even if it is empty.
	files := map[string][]byte{"user-data": d.UserData}
	if files["meta-data"], err = lines(meta); err != nil {
		return nil, err
	}
	if vendor, err := d.vendorData(); err != nil || vendor != nil {
		if err != nil {
			return nil, err
		}
		files["vendor-data"] = vendor
	}
	if network := networkConfig(d.NetworkData, bootMAC); network != nil {
		if files["network-config"], err = lines(network); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// lines is v as JSON that people can read, without HTML escapes.
func lines(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, invalid("it cannot be written: %s", err)
	}
	return b.Bytes(), nil
}

// vendorData is what cloud-init would take from vendor_data.json and
// vendor_data2.json: a text, the value of the key cloud-init, or a list of
// such. Several become a cloud-config archive.
func (d Drive) vendorData() ([]byte, error) {
	parts := vendorParts(d.VendorData)
	if d.VendorData2 != nil {
		parts = append(parts, vendorParts(d.VendorData2)...)
	}
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return []byte(parts[0]), nil
	}
	archive, err := lines(parts)
	return append([]byte("#cloud-config-archive\n"), archive...), err
}

func vendorParts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var parts []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				parts = append(parts, s)
			}
		}
		return parts
	case map[string]any:
		if inner, ok := v["cloud-init"]; ok {
			return vendorParts(inner)
		}
	}
	return nil
}
