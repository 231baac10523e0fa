package nfsroot

import (
	"context"
	"encoding/json"
	"fmt"

	"caddyshack/drivers"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// Boot is the boot interface rpi-netboot: a node is bootable when it can be
// told apart on the wire, and what it asks for is seen.
type Boot struct{ Driver *Driver }

var _ drivers.BootWatcher = Boot{}

// Validate checks the node's port.
func (b Boot) Validate(ctx context.Context, t *drivers.Task) error {
	_, err := b.Driver.publishRequest(ctx, t)
	return err
}

// PowerOn is told to the boot log.
func (b Boot) PowerOn(ctx context.Context, nodeUUID string) error {
	return b.Driver.Boot.PowerOn(ctx, nodeUUID)
}

// SettledBoots are those of the boot log.
func (b Boot) SettledBoots(ctx context.Context) ([]drivers.SettledBoot, error) {
	settled, err := b.Driver.Boot.Settled(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]drivers.SettledBoot, 0, len(settled))
	for i := range settled {
		s := &settled[i]
		figures, err := figures(s)
		if err != nil {
			return nil, err
		}
		text := s.Report.String()
		if s.Up {
			text = s.Summary.String()
		}
		list = append(list, drivers.SettledBoot{NodeUUID: s.NodeID, Start: s.Summary.Start, Up: s.Up,
			Silent: s.Report.Silent, Powered: s.Summary.Powered, Text: text, Figures: figures})
	}
	return list, nil
}

// figures are what driver_internal_info keeps of a boot.
func figures(s *pxe.SettledBoot) (map[string]any, error) {
	text, err := json.Marshal(s.Summary)
	if err != nil {
		return nil, fmt.Errorf("keeping the figures of a boot: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("keeping the figures of a boot: %w", err)
	}
	if !s.Up && s.Report.File != "" {
		m["file"], m["offset"], m["size"] = s.Report.File, s.Report.Offset, s.Report.Size
	}
	return m, nil
}

// BootLog lists the remembered boots.
func (b Boot) BootLog(ctx context.Context, nodeUUID string) (any, error) {
	boots, err := b.Driver.Boot.Boots(ctx, nodeUUID)
	if boots == nil {
		boots = []bootlog.Boot{}
	}
	return boots, err
}

// FollowBoot hands over what is seen of a node.
func (b Boot) FollowBoot(ctx context.Context, nodeUUID string, send func(event any) error) error {
	return b.Driver.Boot.FollowBoot(ctx, nodeUUID, func(u bootlog.Update) error { return send(u) })
}
