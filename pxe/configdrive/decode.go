package configdrive

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// URL returns the URL that a drive is to be fetched from, "" if text, a JSON
// string or object, holds the drive itself.
func URL(text []byte) string {
	var s string
	if json.Unmarshal(text, &s) != nil || !strings.Contains(s, "://") {
		return ""
	}
	return strings.TrimSpace(s)
}

// Decode reads a drive in one of the API's own forms: the JSON text of an
// object, or of a string in base64. A URL must be fetched first; see URL.
func Decode(text []byte) (Drive, error) {
	if len(text) > MaxTransport {
		return Drive{}, overLimit("it has %d bytes, at most %d are taken", len(text), MaxTransport)
	}
	v, err := decodeJSON(text)
	if err != nil {
		return Drive{}, invalid("it is not JSON: %s", err)
	}
	switch v := v.(type) {
	case string:
		return decodeBase64(v)
	case map[string]any:
		return fromObject(v)
	}
	return Drive{}, invalid("it must be a string or an object")
}

// DecodeFetched reads what was found under a URL: what Decode reads, or an
// image as it is.
func DecodeFetched(data []byte) (Drive, error) {
	if len(data) > MaxTransport {
		return Drive{}, overLimit("it has %d bytes, at most %d are taken", len(data), MaxTransport)
	}
	switch text := bytes.TrimSpace(data); {
	case isGzip(data) || isISO(data) || isFAT(data):
		return fromImage(data)
	case bytes.HasPrefix(text, []byte("{")) || bytes.HasPrefix(text, []byte(`"`)):
		return Decode(text)
	default:
		return decodeBase64(string(text))
	}
}

func decodeBase64(s string) (Drive, error) {
	bare := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(s)
	data, err := base64.StdEncoding.DecodeString(bare)
	if err != nil || len(data) == 0 {
		return Drive{}, invalid("it is neither an object nor base64")
	}
	return fromImage(data)
}

func isGzip(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) }

// fromImage reads an image, compressed by gzip or not.
func fromImage(data []byte) (Drive, error) {
	if isGzip(data) {
		var err error
		if data, err = gunzip(data); err != nil {
			return Drive{}, err
		}
	}
	read := readISO
	switch {
	case isISO(data):
	case isFAT(data):
		read = readFAT
	default:
		return Drive{}, invalid("it is not an ISO 9660 image (or a VFAT one), compressed by gzip or not; `openstack baremetal node deploy --config-drive FOLDER` makes one")
	}
	files, err := read(data)
	if err != nil {
		return Drive{}, err
	}
	return fromFiles(files)
}

// gunzip unpacks no more than an image may have.
func gunzip(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, invalid("its gzip data is damaged: %s", err)
	}
	// The last four bytes say how much there is; they are not relied on.
	out := bytes.NewBuffer(make([]byte, 0, min(int(binary.LittleEndian.Uint32(data[len(data)-4:])), maxImage)+bytes.MinRead))
	_, err = out.ReadFrom(io.LimitReader(z, maxImage+1))
	if out.Len() > maxImage {
		return nil, overLimit("unpacked, it has more than %d MiB", maxImage>>20)
	}
	if err != nil {
		return nil, invalid("its gzip data is damaged: %s", err)
	}
	return out.Bytes(), nil
}

// decodeJSON reads one JSON value and keeps numbers as they are written.
func decodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its end")
	}
	return v, nil
}

// fromObject reads the object form (API reference, section 6.2).
func fromObject(m map[string]any) (Drive, error) {
	var d Drive
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v := m[key]
		object, isObject := v.(map[string]any)
		if v == nil {
			continue
		}
		if !isObject && key != "user_data" {
			return Drive{}, invalid("%.80q must be an object", key)
		}
		switch key {
		case "meta_data":
			d.MetaData = object
		case "network_data":
			d.NetworkData = object
		case "vendor_data":
			d.VendorData2 = object
		case "user_data":
			if text, ok := v.(string); ok {
				d.UserData = []byte(text)
				break
			}
			b, err := json.Marshal(v)
			if err != nil {
				return Drive{}, invalid("its user_data cannot be written: %s", err)
			}
			d.UserData = b
		default:
			return Drive{}, invalid("it has the key %.80q; the keys are meta_data, user_data, network_data and vendor_data", key)
		}
	}
	return d.checked()
}

// fromFiles reads the files of an image in OpenStack's layout.
func fromFiles(files map[string][]byte) (Drive, error) {
	folder := newest(files)
	if folder == "" {
		return Drive{}, invalid("its image has no folder openstack/latest")
	}
	var d Drive
	for name, to := range map[string]func(any) bool{
		"meta_data.json":    func(v any) (ok bool) { d.MetaData, ok = v.(map[string]any); return },
		"network_data.json": func(v any) (ok bool) { d.NetworkData, ok = v.(map[string]any); return },
		"vendor_data.json":  func(v any) bool { d.VendorData = v; return true },
		"vendor_data2.json": func(v any) (ok bool) { d.VendorData2, ok = v.(map[string]any); return },
	} {
		data, exists := files[folder+name]
		if !exists {
			continue
		}
		if len(data) > maxDocument {
			return Drive{}, overLimit("%s has %d bytes, at most %d are taken", folder+name, len(data), maxDocument)
		}
		v, err := decodeJSON(data)
		if err != nil {
			return Drive{}, invalid("%s is not JSON: %s", folder+name, err)
		}
		if v != nil && !to(v) {
			return Drive{}, invalid("%s must hold an object", folder+name)
		}
	}
	if data := files[folder+"user_data"]; len(data) > maxDocument {
		return Drive{}, overLimit("user_data has %d bytes, at most %d are taken", len(data), maxDocument)
	} else if len(data) > 0 {
		d.UserData = bytes.Clone(data) // the image need not stay in memory
	}
	var err error
	if d.Files, err = broughtFiles(d.MetaData, files); err != nil {
		return Drive{}, err
	}
	return d.checked()
}

// newest is the folder to read: the latest, or the highest version. It ends
// with a slash.
func newest(files map[string][]byte) string {
	best := ""
	for name := range files {
		rest, ok := strings.CutPrefix(name, "openstack/")
		version, file, below := strings.Cut(rest, "/")
		if !ok || !below || version == "content" || strings.Contains(file, "/") {
			continue
		}
		if version == "latest" {
			return "openstack/latest/"
		}
		best = max(best, "openstack/"+version+"/")
	}
	return best
}

// broughtFiles lists the files that meta_data says to put into the root
// (Nova's file injection).
func broughtFiles(meta map[string]any, files map[string][]byte) ([]File, error) {
	list, _ := meta["files"].([]any)
	if len(list) > maxFiles {
		return nil, overLimit("it brings %d files, at most %d are taken", len(list), maxFiles)
	}
	var out []File
	sum := 0
	for i, e := range list {
		entry, _ := e.(map[string]any)
		to, _ := entry["path"].(string)
		from, _ := entry["content_path"].(string)
		data, exists := files["openstack/"+strings.TrimLeft(from, "/")]
		if !exists {
			return nil, invalid("file %d of its meta_data has the content_path %.80q, which its image lacks", i, from)
		}
		p, err := cleanPath(to)
		if err != nil {
			return nil, fmt.Errorf("file %d of its meta_data: %w", i, err)
		}
		if sum += len(data); sum > maxFileBytes {
			return nil, overLimit("its files have more than %d MiB", maxFileBytes>>20)
		}
		out = append(out, File{Path: p, Data: bytes.Clone(data)})
	}
	return out, nil
}
