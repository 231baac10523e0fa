package store

import (
	"context"
	"sync"

	"caddyshack/baremetal"
)

// observations remembers the newest report of each device, so that reports
// that change nothing need no write: a quiet chassis writes nothing.
type observations struct {
	mu     sync.Mutex
	newest map[device]report
}

// device is a device as one node knows it: another node with its key, or the
// same one with another key, starts anew.
type device struct{ node, key string }

type report struct{ boot, seq int64 }

func (r report) before(o report) bool {
	return r.boot < o.boot || (r.boot == o.boot && r.seq < o.seq)
}

func newObservations() *observations { return &observations{newest: map[device]report{}} }

func (o *observations) get(d device) report {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.newest[d]
}

func (o *observations) put(d device, r report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.newest[d].before(r) {
		o.newest[d] = r
	}
}

// ObservePower records what the device with that hardware key says of its
// power, unless a later report (boot, seq) was recorded or a
// target_power_state is set. An equal one is applied: it is the same report
// again, or "offline" after it. It returns the node as it was before and
// whether power_state changed. Of several nodes with the key the oldest is meant.
func (s *Store) ObservePower(ctx context.Context, key string, state baremetal.PowerState, boot, seq int64) (before baremetal.Node, changed bool, err error) {
	const byKey = " WHERE hardware_key = $1 AND hardware_key <> '' ORDER BY id LIMIT 1"
	now := report{boot, seq}
	stale := func(n *baremetal.Node) bool {
		return now.before(observed(n)) || now.before(s.seen.get(device{n.UUID, key}))
	}
	// nothing tells that the report is in the row already. Its number is kept even
	// if the power is as it was, or a claimant's business: a process that was
	// stopped and reads old reports when it wakes up must not bring them back.
	nothing := func(n *baremetal.Node) bool {
		return observed(n) == now && (n.PowerState == state || n.TargetPowerState != "")
	}
	before, err = oneNode(ctx, s.read, key, selectNode+byKey, key)
	if err != nil || stale(&before) {
		return before, false, s.fault(err)
	}
	if nothing(&before) {
		s.seen.put(device{before.UUID, key}, now)
		return before, false, nil
	}
	stamp, err := s.stamp(ctx)
	if err != nil {
		return before, false, err
	}
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		changed = false
		var err error
		if before, err = oneNode(ctx, tx, key, selectNode+byKey+s.engine.rowLock(), key); err != nil || stale(&before) {
			return err
		}
		n := before
		changed = n.PowerState != state && n.TargetPowerState == ""
		return s.changeNode(ctx, tx, &n, stamp, func(n *baremetal.Node) error {
			n.Work.ObservedBoot, n.Work.ObservedSeq = boot, seq
			if n.TargetPowerState == "" {
				n.PowerState = state
			}
			return nil
		})
	})
	if err != nil {
		return before, false, err
	}
	s.seen.put(device{before.UUID, key}, now)
	return before, changed, nil
}

func observed(n *baremetal.Node) report { return report{n.Work.ObservedBoot, n.Work.ObservedSeq} }
