package configdrive

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Keys returns the machine's public ssh keys of meta_data, one line each. They
// come as an object (name to key, as from Nova), a list, or one text.
func (d Drive) Keys() ([]string, error) {
	var texts []string
	for _, field := range []string{"public_keys", "public-keys"} {
		switch v := d.MetaData[field].(type) {
		case nil:
		case string:
			texts = append(texts, v)
		case []any:
			for _, k := range v {
				s, ok := k.(string)
				if !ok {
					return nil, invalid("%s of meta_data must hold texts", field)
				}
				texts = append(texts, s)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				s, ok := v[name].(string)
				if !ok {
					return nil, invalid("the key %.80q of meta_data must be a text", name)
				}
				texts = append(texts, s)
			}
		default:
			return nil, invalid("%s of meta_data must be an object or a list", field)
		}
	}
	return keyLines(texts)
}

// keyLines splits texts into the lines of an authorized_keys file and checks
// each.
func keyLines(texts []string) ([]string, error) {
	var lines []string
	for _, text := range texts {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") || slices.Contains(lines, line) {
				continue
			}
			if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil || strings.ContainsAny(line, "\x00\r") {
				return nil, invalid("%.80q is not a public key of OpenSSH's form (\"ssh-ed25519 AAAA… comment\")", line)
			}
			if lines = append(lines, line); len(lines) > maxKeys {
				return nil, overLimit("it has more than %d keys", maxKeys)
			}
		}
	}
	return lines, nil
}
