package store

import (
	"log/slog"
	"time"
)

// Synchronous is how hard SQLite tries to keep a commit over a power cut.
type Synchronous string

// The settings of SQLite's PRAGMA synchronous that make sense here.
const (
	Full   Synchronous = "FULL"   // an answered change survives a power cut
	Normal Synchronous = "NORMAL" // the newest changes may be lost in a power cut, never the file
	Off    Synchronous = "OFF"    // for tests: a power cut may damage the file
)

// Config says where the state is kept. Exactly one of Path and PostgresURL is set.
type Config struct {
	// Path is the SQLite file. Its folder is made if it is missing; a lock
	// file beside it keeps it to one process.
	Path string
	// PostgresURL is a PostgreSQL connection string, as a URL or key=value
	// pairs. LISTEN and NOTIFY must work: a pooler must be in session mode.
	PostgresURL string
	// Synchronous is for SQLite; "" = Full.
	Synchronous Synchronous
	// MaxConns bounds the connections: 0 = 10 on PostgreSQL, 4 readers on SQLite.
	MaxConns int
	// ConductorTimeout is how long a conductor counts as alive after its last
	// heartbeat; 0 = 60 s.
	ConductorTimeout time.Duration
	// HistoryKept is the number of newest history entries kept per node; 0 = 300.
	HistoryKept int
	// Logger is for reconnects, retries and migrations; nil = discard.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Synchronous == "" {
		c.Synchronous = Full
	}
	if c.MaxConns == 0 {
		c.MaxConns = 4
		if c.PostgresURL != "" {
			c.MaxConns = 10
		}
	}
	if c.ConductorTimeout == 0 {
		c.ConductorTimeout = 60 * time.Second
	}
	if c.HistoryKept == 0 {
		c.HistoryKept = 300
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
