package configdrive

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// Basics is what can be done for a machine without cloud-init.
type Basics struct {
	// Hostname is "" if the user data gives none.
	Hostname string
	// Keys are those of the users that the image has, RootKeys those of the
	// machine's own user.
	Keys     map[string][]string
	RootKeys []string
	// Script is to be run at the first boot; nil if there is none.
	Script []byte
	// Ignored says what only cloud-init would understand, "" if nothing.
	Ignored string
}

// Basics reads from the user data what needs no cloud-init: a script, or the
// host name and the keys of a cloud-config.
func (d Drive) Basics() (Basics, error) {
	keys, err := d.Keys()
	if err != nil {
		return Basics{}, err
	}
	b := Basics{RootKeys: keys}
	first, _, _ := bytes.Cut(d.UserData, []byte("\n"))
	switch first = bytes.TrimSpace(first); {
	case len(bytes.TrimSpace(d.UserData)) == 0:
	case bytes.HasPrefix(first, []byte("#!")):
		b.Script = d.UserData
	case bytes.Equal(first, []byte("#cloud-config")):
		return b, b.cloudConfig(d.UserData)
	default:
		b.Ignored = "the user data is neither a script (#!) nor a #cloud-config"
	}
	return b, nil
}

// cloudConfig reads the parts of a cloud-config that need no cloud-init.
func (b *Basics) cloudConfig(text []byte) error {
	var c map[string]any
	if err := yaml.Unmarshal(text, &c); err != nil {
		return invalid("its user data is not a #cloud-config: %s", err)
	}
	b.Hostname, _ = c["hostname"].(string)
	var err error
	if b.RootKeys, err = keyLines(append(b.RootKeys, textsOf(c["ssh_authorized_keys"])...)); err != nil {
		return err
	}
	users, _ := c["users"].([]any)
	if len(users) > maxKeys {
		return overLimit("it has more than %d users", maxKeys)
	}
	for _, u := range users {
		user, _ := u.(map[string]any)
		name, _ := user["name"].(string)
		if name == "" {
			continue // "default" stands for the image's own user
		}
		keys, err := keyLines(append(textsOf(user["ssh_authorized_keys"]), textsOf(user["ssh-authorized-keys"])...))
		if err != nil {
			return err
		}
		if b.Keys == nil {
			b.Keys = map[string][]string{}
		}
		b.Keys[name] = keys
	}
	for key := range c {
		if key != "hostname" && key != "ssh_authorized_keys" && key != "users" {
			b.Ignored = "of a #cloud-config only hostname, ssh_authorized_keys and the keys of users are understood"
		}
	}
	return nil
}

// textsOf returns the texts of a list.
func textsOf(v any) []string {
	list, _ := v.([]any)
	var texts []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}
