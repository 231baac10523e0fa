package remote_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"caddyshack/baremetal"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/configdrive"
	"caddyshack/pxe/remote"
)

// twin notes what arrives and answers what it is told.
type twin struct {
	got    any
	err    error
	status pxe.BootStatus
	boots  []bootlog.Boot
	update bootlog.Update
}

func (t *twin) CheckImage(_ context.Context, i pxe.ImageSource) error { t.got = i; return t.err }
func (t *twin) CheckConfigDrive(_ context.Context, d json.RawMessage) error {
	t.got = d
	return t.err
}
func (t *twin) FetchImage(_ context.Context, i pxe.ImageSource) (pxe.Fetched, error) {
	t.got = i
	return pxe.Fetched{Progress: "compiling init"}, t.err
}
func (t *twin) CreateRoot(_ context.Context, r pxe.RootRequest) error { t.got = r; return t.err }
func (t *twin) Publish(_ context.Context, p pxe.PublishRequest) error { t.got = p; return t.err }
func (t *twin) Remove(_ context.Context, id string) error             { t.got = id; return t.err }
func (t *twin) RemoveRescue(_ context.Context, id string) error {
	t.got = "rescue " + id
	return t.err
}
func (t *twin) ExpectBoot(_ context.Context, id string) error { t.got = id; return t.err }
func (t *twin) BootStatus(_ context.Context, id string) (pxe.BootStatus, error) {
	t.got = id
	return t.status, t.err
}

func (t *twin) PowerOn(_ context.Context, id string) error { t.got = id; return t.err }
func (t *twin) Seen(_ context.Context, id string, sign pxe.Sign) error {
	t.got = id + " " + string(sign)
	return t.err
}
func (t *twin) Settled(context.Context) ([]pxe.SettledBoot, error) {
	t.got = nil
	return []pxe.SettledBoot{{NodeID: "n", Summary: t.boots[0].Summary(), Report: t.status.Report, Up: true}}, t.err
}
func (t *twin) Boots(_ context.Context, id string) ([]bootlog.Boot, error) {
	t.got = id
	return t.boots, t.err
}
func (t *twin) FollowBoot(_ context.Context, id string, send func(bootlog.Update) error) error {
	t.got = id
	if t.err != nil {
		return t.err
	}
	return send(t.update)
}

func (t *twin) ReserveAddress(_ context.Context, m pxe.Machine) (pxe.AddressAnswer, error) {
	t.got = m
	return pxe.AddressAnswer{Address: m.Address, Learn: true}, t.err
}
func (t *twin) SyncMachines(_ context.Context, list []pxe.Machine) (pxe.SyncAnswer, error) {
	t.got = list
	return synced, t.err
}
func (t *twin) Notices(_ context.Context, after uint64) ([]pxe.Notice, error) {
	t.got = after
	return []pxe.Notice{{Seq: 8, Time: time.Unix(5, 7).UTC(), NodeID: "n", Error: true, Text: "moved", Fault: "identity conflict"}}, t.err
}
func (t *twin) Sightings(_ context.Context, since time.Time) ([]pxe.Sighting, error) {
	t.got = since
	return []pxe.Sighting{sighting}, t.err
}

var synced = pxe.SyncAnswer{Problems: []pxe.MachineProblem{{NodeID: "n", MAC: "m", Text: "no"}},
	Reserved: []pxe.ReservedAddress{{MAC: "m", Address: netip.MustParseAddr("127.77.1.2")}}}

var sighting = pxe.Sighting{Kind: pxe.SeenTFTP, Time: time.Unix(9, 0).UTC(), First: time.Unix(5, 7).UTC(), Count: 3, MAC: "m", Serial: "s",
	Model: "pi4", Address: netip.MustParseAddr("127.77.1.2"), NodeID: "n", Name: "s/config.txt"}

func dial(t *testing.T, s remote.Service, secret string) *remote.Client {
	t.Helper()
	h, err := remote.Handler(s, "right")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &remote.Client{URL: srv.URL, Secret: secret, HTTP: srv.Client()}
}

// Every call and every field survives the way over JSON.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	img := pxe.ImageSource{URL: "http://x/y.tar", ChecksumAlgo: "sha256", Checksum: "ab"}
	drive := json.RawMessage(`{"meta_data":{"a":"b"}}`)
	root := pxe.RootRequest{NodeID: "n", Generation: "g", Hostname: "h", Image: img, MAC: "m", ConfigDrive: drive}
	pub := pxe.PublishRequest{NodeID: "n", Client: netip.MustParseAddr("127.77.1.2"), Learn: true, MAC: "m", Serial: "s", Model: "pi4", KernelParams: "quiet"}
	status := pxe.BootStatus{Signs: []pxe.Sign{pxe.SignMounted}, Conflict: "two", Since: time.Unix(5, 7).UTC(), Report: bootlog.Report{
		Stage: bootlog.StageFile, Where: "said", Cause: "why", File: "k", Offset: 3, Size: 5, Stalled: true, Due: time.Unix(7, 0).UTC(), Silent: true}}
	boot := bootlog.Boot{ID: "n", Start: time.Unix(9, 0).UTC(), Powered: true, Attempt: 1, Entries: []bootlog.Entry{{
		Event: bootlog.Event{ID: "n", Time: time.Unix(9, 0).UTC(), Stage: bootlog.StageFile, Outcome: bootlog.Done, Name: "k", Size: 5, Blocks: 2, Resent: 1},
		Count: 1, Last: time.Unix(10, 0).UTC()}}, Reached: map[bootlog.Stage]time.Time{bootlog.StageKernel: time.Unix(10, 0).UTC()}, Quiet: time.Unix(10, 0).UTC()}
	s := &twin{status: status, boots: []bootlog.Boot{boot}, update: bootlog.Update{Event: boot.Entries[0].Event, Missed: 3}}
	machine := pxe.Machine{NodeID: "n", Name: "h", MAC: "m", Serial: "s", Address: netip.MustParseAddr("127.77.1.2")}
	since := time.Unix(5, 7).UTC()
	c := dial(t, s, "right")
	ctx := t.Context()
	for name, tc := range map[string]struct {
		call func() (any, error)
		got  any
		out  any
	}{
		"drive":    {func() (any, error) { return nil, c.CheckConfigDrive(ctx, drive) }, drive, nil},
		"check":    {func() (any, error) { return nil, c.CheckImage(ctx, img) }, img, nil},
		"fetch":    {func() (any, error) { return c.FetchImage(ctx, img) }, img, pxe.Fetched{Progress: "compiling init"}},
		"create":   {func() (any, error) { return nil, c.CreateRoot(ctx, root) }, root, nil},
		"publish":  {func() (any, error) { return nil, c.Publish(ctx, pub) }, pub, nil},
		"remove":   {func() (any, error) { return nil, c.Remove(ctx, "n") }, "n", nil},
		"rescue":   {func() (any, error) { return nil, c.RemoveRescue(ctx, "n") }, "rescue n", nil},
		"expect":   {func() (any, error) { return nil, c.ExpectBoot(ctx, "n") }, "n", nil},
		"status":   {func() (any, error) { return c.BootStatus(ctx, "n") }, "n", status},
		"power on": {func() (any, error) { return nil, c.PowerOn(ctx, "n") }, "n", nil},
		"seen":     {func() (any, error) { return nil, c.Seen(ctx, "n", pxe.SignHome) }, "n phone-home", nil},
		"settled": {func() (any, error) { return c.Settled(ctx) }, nil,
			[]pxe.SettledBoot{{NodeID: "n", Summary: boot.Summary(), Report: status.Report, Up: true}}},
		"boots": {func() (any, error) { return c.Boots(ctx, "n") }, "n", s.boots},
		"follow": {func() (any, error) {
			var got bootlog.Update
			err := c.FollowBoot(ctx, "n", func(u bootlog.Update) error { got = u; return nil })
			if baremetal.IsKind(err, baremetal.Unavailable) { // the other side has no more to tell
				err = nil
			}
			return got, err
		}, "n", s.update},
		"reserve": {func() (any, error) { return c.ReserveAddress(ctx, machine) }, machine, pxe.AddressAnswer{Address: machine.Address, Learn: true}},
		"sync": {func() (any, error) { return c.SyncMachines(ctx, []pxe.Machine{machine}) }, []pxe.Machine{machine},
			synced},
		"notices": {func() (any, error) { return c.Notices(ctx, 7) }, uint64(7),
			[]pxe.Notice{{Seq: 8, Time: since, NodeID: "n", Error: true, Text: "moved", Fault: "identity conflict"}}},
		"sightings": {func() (any, error) { return c.Sightings(ctx, since) }, since, []pxe.Sighting{sighting}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := tc.call()
			if err != nil {
				t.Fatal(err)
			}
			opts := cmpopts.EquateComparable(netip.Addr{})
			if d := cmp.Diff(tc.got, s.got, opts); d != "" {
				t.Errorf("argument: %s", d)
			}
			if d := cmp.Diff(tc.out, out, opts); d != "" {
				t.Errorf("result: %s", d)
			}
		})
	}
}

// The largest config drive that is taken anywhere gets through.
func TestLargeConfigDrive(t *testing.T) {
	t.Parallel()
	s := &twin{}
	drive := json.RawMessage(`"` + strings.Repeat("A", configdrive.MaxTransport-2) + `"`)
	if err := dial(t, s, "right").CreateRoot(t.Context(), pxe.RootRequest{ConfigDrive: drive}); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.got.(pxe.RootRequest); string(got.ConfigDrive) != string(drive) {
		t.Errorf("%d bytes arrived of %d", len(got.ConfigDrive), len(drive))
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	t.Parallel()
	for _, kind := range []baremetal.Kind{baremetal.Invalid, baremetal.Unavailable, baremetal.NotFound, baremetal.Internal} {
		c := dial(t, &twin{err: baremetal.Errorf(kind, "what to do")}, "right")
		err := c.CheckImage(t.Context(), pxe.ImageSource{})
		if !baremetal.IsKind(err, kind) || err.Error() != "what to do" {
			t.Errorf("kind %v arrived as %v: %v", kind, baremetal.KindOf(err), err)
		}
	}
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	s := &twin{}
	err := dial(t, s, "wrong").Remove(t.Context(), "n")
	if !baremetal.IsKind(err, baremetal.Unauthorized) || s.got != nil {
		t.Errorf("got %v, and the call arrived as %v", err, s.got)
	}
	if _, err := remote.Handler(s, ""); err == nil {
		t.Error("an empty secret was accepted")
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := &remote.Client{URL: "http://127.0.0.1:1", Secret: "x"}
	err := c.Remove(t.Context(), "n")
	if !baremetal.IsKind(err, baremetal.Unavailable) || !strings.Contains(err.Error(), "check that it runs") {
		t.Errorf("got %v", err)
	}
}
