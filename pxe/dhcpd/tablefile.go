package dhcpd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
)

// tableFile is the form in which reservations are kept.
type tableFile struct {
	Version      int           `json:"version"`
	Reservations []Reservation `json:"reservations"`
}

const tableVersion = 1

// ReadReservations reads the reservations that a table has kept in a file,
// those of machines that are no more included; none if there is no file.
func ReadReservations(path string) ([]Reservation, error) { return readTable(path) }

func readTable(path string) ([]Reservation, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the addresses: %w", err)
	}
	var f tableFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("reading the addresses in %s: %w; restore the file from a backup, or move it away to give addresses anew", path, err)
	}
	if f.Version != tableVersion {
		return nil, fmt.Errorf("reading the addresses in %s: its version is %d, this program knows %d: use the program that wrote it", path, f.Version, tableVersion)
	}
	return f.Reservations, nil
}

// snapshot returns the present reservations, to come back to.
func (t *Table) snapshot() map[string]Reservation {
	m := make(map[string]Reservation, len(t.byMAC))
	for mac, r := range t.byMAC {
		m[mac] = *r
	}
	return m
}

// keep writes the table if it differs from old, and goes back to old if that fails.
func (t *Table) keep(old map[string]Reservation) error {
	now := t.snapshot()
	if maps.Equal(old, now) || t.cfg.File == "" {
		return nil
	}
	f := tableFile{Version: tableVersion, Reservations: slices.Collect(maps.Values(now))}
	slices.SortFunc(f.Reservations, func(a, b Reservation) int { return a.Address.Compare(b.Address) })
	if err := writeWhole(t.cfg.File, f); err != nil {
		t.byMAC = make(map[string]*Reservation, len(old))
		for mac, r := range old {
			t.byMAC[mac] = &r
		}
		return fmt.Errorf("keeping the addresses: %w", err)
	}
	return nil
}

// writeWhole replaces a file in one piece: a power cut leaves the old or the
// new one.
func writeWhole(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// parseMAC returns the canonical form of an Ethernet address of one machine.
func parseMAC(s string) (string, bool) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return "", false
	}
	return mac.String(), true
}
