package pxe

import (
	"context"
	"time"

	"caddyshack/pxe/bootlog"
)

// SettledBoot is the latest boot of a node, once nothing more is expected of
// it: the system is up, or it stands still.
type SettledBoot struct {
	NodeID  string          `json:"node_id"`
	Summary bootlog.Summary `json:"summary"`
	Report  bootlog.Report  `json:"report"`
	// Up is true if the system runs, as far as can be seen.
	Up bool `json:"up"`
}

// afterglow is how long after the last sign of a system whose root is mounted
// further signs, such as a login prompt, are waited for.
const afterglow = 20 * time.Second

// Settled lists the latest boots that have settled. A boot stays in the list,
// and may change from standing still to up.
func (s *Service) Settled(context.Context) ([]SettledBoot, error) {
	now := time.Now()
	var list []SettledBoot
	for _, l := range s.Log.Latest(now) {
		up := false
		switch l.Report.Stage {
		case bootlog.StageLogin:
			up = true
		case bootlog.StageMount, bootlog.StageInit:
			if up = now.Sub(l.Boot.Quiet) >= afterglow; !up {
				continue
			}
		default:
			if !l.Report.Stalled {
				continue
			}
		}
		list = append(list, SettledBoot{NodeID: l.Boot.ID, Summary: l.Boot.Summary(), Report: l.Report, Up: up})
	}
	return list, nil
}

// PowerOn says that the machine is being switched on, or was just now.
func (s *Service) PowerOn(_ context.Context, nodeID string) error {
	s.Log.StartBoot(nodeID, time.Now())
	return nil
}

// Boots lists the remembered boots of a node, the latest first.
func (s *Service) Boots(_ context.Context, nodeID string) ([]bootlog.Boot, error) {
	return s.Log.Timeline(nodeID), nil
}

// followBuffer is how many events a follower may lag behind.
const followBuffer = 256

// FollowBoot hands over what is seen of a node from now on, until send fails or ctx ends.
func (s *Service) FollowBoot(ctx context.Context, nodeID string, send func(bootlog.Update) error) error {
	updates, stop := s.Log.Subscribe(nodeID, followBuffer)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-updates:
			if err := send(u); err != nil {
				return err
			}
		}
	}
}
