package main

import (
	"log/slog"
	"reflect"

	"caddyshack/ironicapi"
)

// reload takes over what can change while the program runs: the log level and
// the users. What needs a restart is named.
func (d *daemon) reload(next *Config, level *slog.LevelVar) {
	if err := level.UnmarshalText([]byte(next.Log.Level)); err != nil {
		d.log.Error("the new log level is refused", "err", err)
	}
	if a, ok := d.auth.(*ironicapi.BasicAuth); ok {
		if err := a.Reload(); err != nil {
			d.log.Error("the new users are refused, the old ones stay", "err", err)
		}
	}
	kept := *d.cfg
	kept.Log.Level = next.Log.Level
	if !reflect.DeepEqual(&kept, next) {
		d.log.Warn("the configuration was read; some of what changed needs a restart")
		return
	}
	d.log.Info("the configuration was read")
}
