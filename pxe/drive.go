package pxe

import (
	"context"
	"encoding/json"
	"fmt"

	"caddyshack/pxe/configdrive"
	"caddyshack/pxe/roots"
)

// CheckConfigDrive finds what is wrong with a config drive; of one that is to
// be fetched it sees the URL alone.
func (s *LocalOSServer) CheckConfigDrive(_ context.Context, drive json.RawMessage) error {
	if url := configdrive.URL(drive); url != "" {
		return s.Images.CheckURL(url)
	}
	_, err := s.decodeDrive(drive, configdrive.Decode)
	return err
}

// configDrive fetches and reads a config drive.
func (s *LocalOSServer) configDrive(ctx context.Context, drive json.RawMessage) (configdrive.Drive, error) {
	if len(drive) == 0 {
		return configdrive.Drive{}, nil
	}
	url := configdrive.URL(drive)
	if url == "" {
		return s.decodeDrive(drive, configdrive.Decode)
	}
	data, err := s.Images.Document(ctx, url, configdrive.MaxTransport)
	if err != nil {
		return configdrive.Drive{}, fmt.Errorf("the config drive: %w", err)
	}
	return s.decodeDrive(data, configdrive.DecodeFetched)
}

func (s *LocalOSServer) decodeDrive(data []byte, decode func([]byte) (configdrive.Drive, error)) (configdrive.Drive, error) {
	s.drives.Lock()
	defer s.drives.Unlock()
	d, err := decode(data)
	if err == nil {
		err = roots.CheckHostname(d.Hostname())
	}
	return d, err
}
