package main

import (
	"log/slog"
	"os"
)

// newLogger writes to standard error; the level can be changed while it is used.
func newLogger(c LogConfig) (*slog.LevelVar, *slog.Logger, error) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, nil, bad("log.level", "%q is not known; use debug, info, warn or error", c.Level)
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return level, slog.New(slog.NewJSONHandler(os.Stderr, opts)), nil
	}
	return level, slog.New(slog.NewTextHandler(os.Stderr, opts)), nil
}
