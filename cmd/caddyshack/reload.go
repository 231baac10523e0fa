package main

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"caddyshack/ironicapi"
)

// reload takes over what can change while the program runs: the log level, the
// users and the TLS certificate. What needs a restart is named.
func (d *daemon) reload(next *Config, level *slog.LevelVar) {
	if err := level.UnmarshalText([]byte(next.Log.Level)); err != nil {
		d.log.Error("the new log level is refused", "err", err)
	}
	if a, ok := d.auth.(*ironicapi.BasicAuth); ok {
		if err := a.Reload(); err != nil {
			d.log.Error("the new users are refused, the old ones stay", "err", err)
		}
	}
	if d.cert != nil {
		if err := d.cert.reload(); err != nil {
			d.log.Error("the new certificate is refused, the old one stays", "err", err)
		}
	}
	changed := changedKeys("", reflect.ValueOf(*d.cfg), reflect.ValueOf(*next))
	changed = slices.DeleteFunc(changed, func(key string) bool { return key == "log.level" })
	if len(changed) > 0 {
		d.log.Warn("the configuration was read; what changed of these needs a restart", "keys", strings.Join(changed, ", "))
		return
	}
	d.log.Info("the configuration was read")
}

// changedKeys names the keys of the file in which two configurations differ.
func changedKeys(section string, a, b reflect.Value) []string {
	var keys []string
	for i := range a.NumField() {
		key := section + a.Type().Field(i).Tag.Get("toml")
		switch {
		case reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
		case a.Field(i).Kind() == reflect.Struct && a.Field(i).Type() != reflect.TypeFor[Duration]():
			keys = append(keys, changedKeys(key+".", a.Field(i), b.Field(i))...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}
