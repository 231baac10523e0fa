package switches

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"caddyshack/baremetal"
)

// Intent tells what the ports of the switch with this ID shall be, from where
// it is written down. It is asked under the switch's lock (see Switch.Settle).
type Intent func(ctx context.Context, id string) (Wanted, error)

// Fleet is all switches of the configuration. It does not change.
type Fleet struct {
	switches []*Switch
	byName   map[string]*Switch
}

// NewFleet refuses two switches with the same id or name.
func NewFleet(all ...*Switch) (*Fleet, error) {
	f := &Fleet{switches: all, byName: map[string]*Switch{}}
	for _, s := range all {
		for _, name := range []string{s.ID, s.Name} {
			key := fold(name)
			if other := f.byName[key]; other != nil && other != s {
				return nil, fmt.Errorf("switches %s and %s have the same id or name: each needs its own", other.ID, s.ID)
			}
			f.byName[key] = s
		}
	}
	return f, nil
}

// fold makes the spellings of a MAC address or datapath id one.
func fold(name string) string {
	return strings.TrimPrefix(strings.NewReplacer(":", "", "-", "").Replace(strings.ToLower(name)), "0x")
}

// Switch finds a switch by its ID, in any spelling of a MAC address, or by its
// name. The error, of kind Invalid, lists the switches that there are.
func (f *Fleet) Switch(id string) (*Switch, error) {
	if s := f.byName[fold(id)]; s != nil {
		return s, nil
	}
	if len(f.switches) == 0 {
		return nil, baremetal.Errorf(baremetal.Invalid, "there is no switch %q: the configuration has none; add a [[switches]] block", id)
	}
	var names []string
	for _, s := range f.switches {
		names = append(names, s.Name+" ("+s.ID+")")
	}
	return nil, baremetal.Errorf(baremetal.Invalid, "there is no switch %q: correct switch_id of local_link_connection; there are %s", id, strings.Join(names, ", "))
}

// All lists the switches in the order of the configuration.
func (f *Fleet) All() []*Switch { return f.switches }

// Close closes all backends.
func (f *Fleet) Close() error {
	var errs []error
	for _, s := range f.switches {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
