package unit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"caddyshack/bus"
)

// Kept is what a unit keeps in its flash.
type Kept struct {
	// Boot is the number of the last boot; it must grow with each.
	Boot uint32 `json:"boot"`
	// Want tells for each slot whether it was last asked to be on.
	Want [bus.MaxSlots]bool `json:"want"`
	// Config is what a config command has set.
	Config bus.UnitConfig `json:"config"`
}

// Store is a unit's flash.
type Store interface {
	// Load returns the zero Kept if nothing was saved yet.
	Load() (Kept, error)
	Save(Kept) error
}

// Memory is a Store that lasts as long as the process.
type Memory struct{ kept Kept }

// Load returns what was saved last.
func (m *Memory) Load() (Kept, error) { return m.kept, nil }

// Save replaces what is kept.
func (m *Memory) Save(k Kept) error { m.kept = k; return nil }

// File is a Store in one JSON file, replaced as a whole.
type File string

// Load reads the file; a missing one is an empty flash.
func (f File) Load() (Kept, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Kept{}, nil
	}
	if err != nil {
		return Kept{}, fmt.Errorf("reading the unit's memory: %w", err)
	}
	var k Kept
	if err := json.Unmarshal(b, &k); err != nil {
		return Kept{}, fmt.Errorf("reading the unit's memory %q: %w (remove the file to start anew)", string(f), err)
	}
	return k, nil
}

// Save writes a new file and puts it in place of the old one.
func (f File) Save(k Kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("saving the unit's memory: %w", err)
	}
	t, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".new-*")
	if err != nil {
		return fmt.Errorf("saving the unit's memory: %w", err)
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), string(f))
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("saving the unit's memory: %w", err)
	}
	return nil
}
