package contract

import (
	"context"
	"testing"
	"time"

	"caddyshack/bus/bustest"
	"caddyshack/firmware/bpusim"
)

// tlsUnit starts a unit with pinned keys and tells whether it is online after some time of its own.
func tlsUnit(t *testing.T, at, keys string, d time.Duration) bool {
	t.Helper()
	unit, err := bpusim.Start(bpusim.Config{Program: program, Log: bustest.Log(t), Args: []string{
		"--broker", at, "--id", unitID, "--user", unitID, "--password", bustest.Password(unitID), "--key", keys, "--clock", "manual",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer unit.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*bustest.Patience)
	defer cancel()
	for ; d > 0; d -= 500 * time.Millisecond {
		a, err := unit.Do(ctx, "advance 500")
		if err != nil {
			t.Fatal(err)
		}
		if a["online"] == "1" {
			return true
		}
	}
	return false
}

// The unit believes a broker that holds one of its keys, in either slot, and nobody else, whatever certificate it shows.
func TestPinnedKeys(t *testing.T) {
	t.Parallel()
	own, other := newIdentity(t), newIdentity(t)
	brokers := map[string]string{
		"embedded":  embeddedTLS(t, own, unitID).unit,
		"mosquitto": newMosquitto(t, own, unitID).unit,
	}
	for name, at := range brokers {
		for _, c := range []struct {
			name, keys string
			online     bool
		}{
			{"first", own.public + "," + other.public, true},
			{"second", other.public + "," + own.public, true},
			{"alone", own.public, true},
			{"neither", other.public, false},
		} {
			if got := tlsUnit(t, at, c.keys, 30*time.Second); got != c.online {
				t.Errorf("%s, key %s: online %v, want %v", name, c.name, got, c.online)
			}
		}
	}
}
