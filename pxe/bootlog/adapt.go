package bootlog

import (
	"fmt"
	"path"
	"slices"
	"time"

	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/tftpd"
)

// FromTFTP turns what the TFTP server reports into an event. Refused requests
// say nothing about a boot, and give none.
func FromTFTP(e tftpd.Event) (Event, bool) {
	outcomes := map[tftpd.Kind]Outcome{
		tftpd.Started: Started, tftpd.Progress: Progress, tftpd.Done: Done, tftpd.Probe: Probe,
		tftpd.Missing: Missing, tftpd.Denied: Denied, tftpd.Failed: Failed,
	}
	outcome, ok := outcomes[e.Kind]
	if !ok || e.ID == "" {
		return Event{}, false
	}
	b := Event{
		ID: e.ID, Time: e.Time, Stage: StageFile, Outcome: outcome, Name: e.Name,
		Size: e.Size, Offset: e.Offset, Duration: e.Duration, Detail: e.Err, Blocks: e.Blocks, Resent: e.Resent,
	}
	if e.Kind == tftpd.Denied {
		b.Detail = fmt.Sprintf("it belongs to %s", e.Owner)
	}
	return b, true
}

// FromDHCP turns what a DHCP server reports about a registered machine into an
// event. A Pi 3B takes what it is offered without a word.
func FromDHCP(e dhcpd.Event) (Event, bool) {
	b := Event{ID: e.ID, Time: e.Time, Stage: StageDHCP, Name: DHCPSystem, Detail: e.Detail}
	if e.Boot {
		b.Name = DHCPFirmware
	}
	switch e.Kind {
	case dhcpd.Offered:
		if !e.Address.IsValid() || e.Model != dhcpd.ModelPi3 {
			b.Outcome = Started
		}
	case dhcpd.Acked:
	case dhcpd.Conflict, dhcpd.WrongSerial, dhcpd.Refused, dhcpd.InUse, dhcpd.Foreign:
		b.Outcome = Denied
	default:
		return Event{}, false
	}
	if b.Detail == "" && e.Address.IsValid() {
		b.Detail = e.Address.String()
	}
	return b, e.ID != ""
}

// FromNFS turns what the NFS server reports about a machine into an event.
// Only mounts and the reading of init tell how far a boot has come; init is
// told by its name, or by being given as the image's own.
func FromNFS(id string, at time.Time, e nfsd.Event, inits ...string) (Event, bool) {
	b := Event{ID: id, Time: at, Name: e.Path}
	switch e.Kind {
	case nfsd.EventMount:
		b.Stage = StageMount
		if !e.OK {
			b.Outcome, b.Detail = Denied, e.Reason
		}
	case nfsd.EventFirstRead:
		name := path.Clean("/" + e.Path)
		known := []string{"/sbin/init", "/usr/sbin/init", "/etc/init", "/bin/init", "/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"}
		if !slices.Contains(known, name) && !slices.Contains(inits, name) {
			return Event{}, false
		}
		b.Stage = StageInit
	default:
		return Event{}, false
	}
	return b, id != ""
}
