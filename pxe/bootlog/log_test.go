package bootlog_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/tftpd"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

// file is a request for a boot file.
func file(s float64, outcome bootlog.Outcome, name string, offset, size int64) bootlog.Event {
	return bootlog.Event{ID: "m", Time: at(s), Stage: bootlog.StageFile, Outcome: outcome, Name: name, Offset: offset, Size: size}
}

func reached(s float64, stage bootlog.Stage) bootlog.Event {
	return bootlog.Event{ID: "m", Time: at(s), Stage: stage}
}

// loading is what a Pi 4 asks for before its kernel.
func loading() []bootlog.Event {
	return []bootlog.Event{
		file(3, bootlog.Started, "start4.elf", 0, 2e6), file(3, bootlog.Probe, "start4.elf", 0, 2e6),
		file(3.1, bootlog.Started, "config.txt", 0, 100), file(3.1, bootlog.Done, "config.txt", 100, 100),
		file(3.2, bootlog.Missing, "recovery.elf", 0, 0),
		file(3.3, bootlog.Started, "start4.elf", 0, 2e6), file(4, bootlog.Done, "start4.elf", 2e6, 2e6),
		file(4.1, bootlog.Missing, "recovery.elf", 0, 0),
		file(4.2, bootlog.Started, "config.txt", 0, 100), file(4.2, bootlog.Done, "config.txt", 100, 100),
		file(4.3, bootlog.Done, "cmdline.txt", 100, 100),
	}
}

func withKernel() []bootlog.Event {
	return append(loading(),
		file(5, bootlog.Started, "kernel8.img", 0, 24e6), file(6, bootlog.Progress, "kernel8.img", 3.1e6, 24e6),
		file(9, bootlog.Done, "kernel8.img", 24e6, 24e6), file(9.1, bootlog.Missing, "armstub8-gic.bin", 0, 0))
}

func record(l *bootlog.Log, events ...bootlog.Event) {
	for _, e := range events {
		l.Record(e)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	l.StartBoot("m", at(0))
	record(l, withKernel()...)
	record(l, reached(12, bootlog.StageMount), reached(13, bootlog.StageInit), reached(20, bootlog.StageLogin))
	boots := l.Timeline("m")
	if len(boots) != 1 || !boots[0].Powered {
		t.Fatalf("boots: %+v", boots)
	}
	var got []string
	for _, e := range boots[0].Entries {
		got = append(got, fmt.Sprintf("%s %s %s %d %d", e.Stage, e.Outcome, e.Name, e.Offset, e.Count))
	}
	want := []string{
		"power on   0 1",
		"fetching boot files probe start4.elf 0 1",
		"fetching boot files done config.txt 100 2",
		"fetching boot files missing recovery.elf 0 2",
		"fetching boot files done start4.elf 2000000 1",
		"fetching boot files done cmdline.txt 100 1",
		"fetching boot files done kernel8.img 24000000 1",
		"fetching boot files missing armstub8-gic.bin 0 1",
		"root file system mounted   0 1",
		"init started   0 1",
		"system is up   0 1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("timeline (-want +got):\n%s", d)
	}
	for stage, s := range map[bootlog.Stage]float64{
		bootlog.StagePower: 0, bootlog.StageFile: 3, bootlog.StageKernel: 9, bootlog.StageMount: 12, bootlog.StageLogin: 20,
	} {
		if when, ok := l.Reached("m", stage, at(0)); !ok || !when.Equal(at(s)) {
			t.Errorf("%s reached at %v, %v; want %v", stage, when, ok, at(s))
		}
	}
	// Asked from later on, a later stage tells as well.
	if when, ok := l.Reached("m", bootlog.StageMount, at(15)); !ok || !when.Equal(at(20)) {
		t.Errorf("mount since 15 s: %v, %v", when, ok)
	}
	if _, ok := l.Reached("m", bootlog.StageMount, at(21)); ok {
		t.Error("a mount before the time asked from was taken")
	}
	if _, ok := l.Reached("x", bootlog.StageMount, at(0)); ok {
		t.Error("an unknown machine reached something")
	}

	// All of it is plain data.
	text, err := json.Marshal(boots)
	if err != nil {
		t.Fatal(err)
	}
	var again []bootlog.Boot
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(boots, again); d != "" {
		t.Errorf("through JSON (-want +got):\n%s", d)
	}
	report := l.Explain("m", at(30))
	text, err = json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var back bootlog.Report
	if err := json.Unmarshal(text, &back); err != nil || back != report {
		t.Errorf("report through JSON: %+v, %v; want %+v", back, err, report)
	}
	// What was handed out does not change any more.
	l.Record(file(40, bootlog.Missing, "x", 0, 0))
	if len(boots[0].Entries) != len(want) {
		t.Error("a timeline handed out has grown")
	}
	l.Forget("m")
	if l.Timeline("m") != nil {
		t.Error("a forgotten machine has a timeline")
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	refused := bootlog.Event{ID: "m", Time: at(12), Stage: bootlog.StageMount, Outcome: bootlog.Denied, Name: "/nodes/x", Detail: "not exported to 10.0.0.9"}
	for name, c := range map[string]struct {
		events []bootlog.Event
		now    float64
		want   string
	}{
		"just on":         {nil, 2, "power came on 2 s ago, nothing was asked for yet"},
		"never asks":      {nil, 61, "no TFTP request within 60 s: the EEPROM's BOOT_ORDER may lack network boot (0xf2)"},
		"only an address": {[]bootlog.Event{reached(2, bootlog.StageDHCP)}, 70, "has an address, but has asked for no file: no TFTP request within 30 s"},
		"fetching":        {append(loading(), file(5, bootlog.Started, "kernel8.img", 0, 24e6), file(6, bootlog.Progress, "kernel8.img", 3.1e6, 24e6)), 7, "fetching kernel8.img, 3.1 MB of 24 MB"},
		"stalled":         {append(loading(), file(5, bootlog.Started, "kernel8.img", 0, 24e6), file(6, bootlog.Progress, "kernel8.img", 3.1e6, 24e6)), 12, "stalled in kernel8.img at 3.1 MB of 24 MB: "},
		"broken off":      {append(loading(), file(5, bootlog.Started, "kernel8.img", 0, 24e6), file(30, bootlog.Failed, "kernel8.img", 3.1e6, 24e6)), 31, "stalled in kernel8.img at 3.1 MB of 24 MB: "},
		"no kernel":       {append(loading(), file(5, bootlog.Missing, "kernel8.img", 0, 0)), 6, "asked for kernel8.img which is missing"},
		"nothing there":   {[]bootlog.Event{file(3, bootlog.Missing, "start4.elf", 0, 0), file(3.1, bootlog.Missing, "start.elf", 0, 0)}, 4, "asked for start4.elf, which is missing: nothing that it asked for is there: its serial number"},
		"foreign":         {[]bootlog.Event{{ID: "m", Time: at(3), Stage: bootlog.StageFile, Outcome: bootlog.Denied, Name: "00000002/start4.elf", Detail: "it belongs to n2"}}, 4, "asked for 00000002/start4.elf, which was denied: the serial number or address belongs to another machine: it belongs to n2"},
		"stops":           {loading(), 40, "last asked for cmdline.txt (done): no request within 30 s"},
		"no mount yet":    {withKernel(), 12, "kernel fetched, but root not mounted yet"},
		"no mount":        {withKernel(), 70, "kernel fetched, but root was never mounted: no NFS mount within 60 s"},
		"mount refused":   {append(withKernel(), refused), 13, "kernel fetched, but root was never mounted: the NFS server refused the mount of /nodes/x: not exported"},
		"no init":         {append(withKernel(), reached(12, bootlog.StageMount)), 80, "root was mounted, but init was not read: the image may lack /sbin/init"},
		"no login":        {append(withKernel(), reached(12, bootlog.StageMount), reached(13, bootlog.StageInit)), 200, "init was started: no login was seen"},
		"up":              {append(withKernel(), reached(12, bootlog.StageMount), reached(20, bootlog.StageLogin)), 999, "system is up, 20s after power-on"},
	} {
		l := bootlog.New(bootlog.Config{})
		l.StartBoot("m", at(0))
		record(l, c.events...)
		if got := l.Explain("m", at(c.now)).String(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := bootlog.New(bootlog.Config{}).Explain("x", at(0)).String(); got != "nothing was seen of this machine yet" {
		t.Errorf("unknown machine: %q", got)
	}
}

// A machine that tries the same again and again makes no progress, and what is
// said of it is what its attempts came to, not where the present one is.
func TestStalled(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	l.StartBoot("m", at(0))
	if r := l.Explain("m", at(59)); r.Stalled || !r.Silent || !r.Due.Equal(at(60)) {
		t.Errorf("just before the deadline: %+v", r)
	}
	if r := l.Explain("m", at(60)); !r.Stalled || !r.Silent {
		t.Errorf("at the deadline: %+v", r)
	}
	l.StartBoot("m", at(100))
	attempt := append(loading(), file(5, bootlog.Missing, "kernel8.img", 0, 0))
	for i := range 5 {
		for _, e := range attempt {
			e.Time = e.Time.Add(time.Duration(100+8*i) * time.Second)
			l.Record(e)
		}
	}
	if r := l.Explain("m", at(134)); r.Stalled || r.Silent {
		t.Errorf("30 s have not passed since the kernel was asked for first: %+v", r)
	}
	r := l.Explain("m", at(136))
	if want := "asked for kernel8.img which is missing (it has started 5 times in 36 s): the image has no kernel of this name"; !r.Stalled || !strings.Contains(r.String(), want) {
		t.Errorf("stalled %v: %q, want %q", r.Stalled, r, want)
	}
	// A transfer that goes on is progress.
	l.StartBoot("m", at(200))
	record(l, file(203, bootlog.Started, "kernel8.img", 0, 24e6), file(220, bootlog.Progress, "kernel8.img", 1e6, 24e6))
	if r := l.Explain("m", at(240)); r.Stalled {
		t.Errorf("20 s after progress: %+v", r)
	}
	if r := l.Explain("m", at(250)); !r.Stalled || r.File != "kernel8.img" || r.Offset != 1e6 || r.Size != 24e6 {
		t.Errorf("30 s after progress: %+v", r)
	}
}

// Loss is spoken of, also when a later try ended before any block was sent.
func TestLossIsNamed(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	l.StartBoot("m", at(0))
	e := file(9, bootlog.Failed, "kernel8.img", 1e6, 24e6)
	e.Blocks, e.Resent = 700, 90
	record(l, file(3, bootlog.Started, "kernel8.img", 0, 24e6), e)
	l.StartBoot("m", at(60))
	const want = "the network loses packets: 90 of 700 blocks had to be sent again"
	if got := l.Explain("m", at(130)).String(); !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := l.Explain("m", at(3600)).String(); strings.Contains(got, want) {
		t.Errorf("an hour later: %q", got)
	}
}

// Power that was reported after the first request belongs to the same boot.
func TestEarlySign(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	record(l, loading()...)
	l.StartBoot("m", at(5))
	if boots := l.Timeline("m"); len(boots) != 1 || !boots[0].Powered || !boots[0].Start.Equal(at(3)) {
		t.Errorf("%+v", boots)
	}
	l.StartBoot("m", at(60))
	if boots := l.Timeline("m"); len(boots) != 2 {
		t.Errorf("%d boots after a second power-on", len(boots))
	}
}

func TestBootsAreToldApart(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	record(l, withKernel()...) // power came on unseen
	record(l, reached(12, bootlog.StageMount))
	// It restarts by itself.
	for _, e := range withKernel() {
		e.Time = e.Time.Add(60 * time.Second)
		l.Record(e)
	}
	l.StartBoot("m", at(100))
	// What was cut off by the power cycle is given up only now.
	late := file(110, bootlog.Failed, "kernel8.img", 5e6, 24e6)
	late.Duration = 25 * time.Second
	l.Record(late)
	boots := l.Timeline("m")
	if len(boots) != 3 {
		t.Fatalf("%d boots, want 3", len(boots))
	}
	if !boots[0].Powered || boots[1].Powered || boots[2].Powered {
		t.Errorf("powered: %v %v %v", boots[0].Powered, boots[1].Powered, boots[2].Powered)
	}
	if n := len(boots[0].Entries); n != 1 {
		t.Errorf("the new boot has %d entries: %+v", n, boots[0].Entries)
	}
	if last := boots[1].Entries[len(boots[1].Entries)-1]; last.Outcome != bootlog.Failed {
		t.Errorf("the late event is not in the boot before: %+v", last)
	}
	if _, ok := boots[1].Reached[bootlog.StageMount]; ok {
		t.Error("the second boot has the mount of the first")
	}
}

func TestLoopWithoutKernelIsSeveralBoots(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{Boots: 4})
	for i := range 10 {
		for _, e := range append(loading(), file(5, bootlog.Missing, "kernel8.img", 0, 0)) {
			e.Time = e.Time.Add(time.Duration(i) * time.Minute)
			l.Record(e)
		}
	}
	boots := l.Timeline("m")
	if len(boots) != 4 {
		t.Fatalf("%d boots", len(boots))
	}
	for _, b := range boots {
		if n := len(b.Entries); n > 8 {
			t.Errorf("%d entries: %+v", n, b.Entries)
		}
	}
}

// The end of a probe is heard on a socket of its own, maybe after what the
// firmware asked for next: that is no new boot.
func TestLateProbe(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	l.StartBoot("m", at(0))
	record(l, file(3, bootlog.Started, "start4.elf", 0, 2e6), file(3.001, bootlog.Started, "config.txt", 0, 100),
		file(3.002, bootlog.Done, "config.txt", 100, 100), file(3.003, bootlog.Probe, "start4.elf", 0, 2e6))
	record(l, withKernel()[4:]...)
	if boots := l.Timeline("m"); len(boots) != 1 || !boots[0].Powered || boots[0].Attempt != 1 {
		t.Errorf("boots: %+v", boots)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{Machines: 10, Entries: 20})
	for i := range 100 {
		e := file(float64(i), bootlog.Missing, "x", 0, 0)
		e.ID = fmt.Sprint("m", i)
		l.Record(e)
	}
	known := 0
	for i := range 100 {
		if l.Timeline(fmt.Sprint("m", i)) != nil {
			known++
		}
	}
	if known != 10 || l.Timeline("m99") == nil {
		t.Errorf("%d machines are remembered", known)
	}
	for i := range 100 {
		l.Record(file(float64(i), bootlog.Missing, fmt.Sprint("f", i), 0, 0))
	}
	l.Record(file(200, bootlog.Done, "kernel8.img", 1, 1))
	b := l.Timeline("m")[0]
	if len(b.Entries) != 20 || b.Dropped != 81 {
		t.Errorf("%d entries, %d dropped", len(b.Entries), b.Dropped)
	}
	if _, ok := b.Reached[bootlog.StageKernel]; !ok {
		t.Error("a stage was forgotten for lack of room")
	}
	l.Record(bootlog.Event{Stage: bootlog.StageFile})
	l.Record(bootlog.Event{ID: "z", Stage: "nonsense"})
	if l.Timeline("") != nil || l.Timeline("z") != nil {
		t.Error("nonsense was kept")
	}
}

func TestSubscribers(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{})
	slow, stopSlow := l.Subscribe("m", 2)
	quick, stopQuick := l.Subscribe("", 100)
	for i := range 5 {
		l.Record(file(float64(i), bootlog.Missing, fmt.Sprint(i), 0, 0))
	}
	<-slow
	<-slow
	l.Record(file(9, bootlog.Missing, "last", 0, 0))
	if u := <-slow; u.Name != "last" || u.Missed != 3 {
		t.Errorf("after a pause: %+v", u)
	}
	stopSlow()
	stopSlow()
	if _, ok := <-slow; ok {
		t.Error("the channel is still open")
	}
	for i := range 6 {
		if u := <-quick; u.Missed != 0 || i < 5 && u.Name != fmt.Sprint(i) {
			t.Errorf("update %d: %+v", i, u)
		}
	}
	stopQuick()
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l := bootlog.New(bootlog.Config{Machines: 5})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprint("m", i)
			_, stop := l.Subscribe("", 1)
			defer stop()
			for j := range 200 {
				l.StartBoot(id, at(float64(j)))
				for _, e := range withKernel() {
					e.ID = id
					l.Record(e)
				}
				l.Timeline(id)
				l.Explain(id, at(500))
				l.Reached(id, bootlog.StageKernel, at(0))
			}
		})
	}
	wg.Wait()
}

func TestAdapters(t *testing.T) {
	t.Parallel()
	from := netip.MustParseAddrPort("10.0.0.9:1")
	got, ok := bootlog.FromTFTP(tftpd.Event{Time: at(1), Kind: tftpd.Done, Client: from, ID: "m", Name: "kernel8.img", Size: 5, Offset: 5, Duration: 3})
	want := bootlog.Event{ID: "m", Time: at(1), Stage: bootlog.StageFile, Outcome: bootlog.Done, Name: "kernel8.img", Size: 5, Offset: 5, Duration: 3}
	if d := cmp.Diff(want, got); !ok || d != "" {
		t.Errorf("done: %v\n%s", ok, d)
	}
	if _, ok := bootlog.FromTFTP(tftpd.Event{Kind: tftpd.Refused, ID: "m"}); ok {
		t.Error("a refused request is part of a boot")
	}
	if _, ok := bootlog.FromTFTP(tftpd.Event{Kind: tftpd.Missing}); ok {
		t.Error("a stranger's request is part of a boot")
	}
	for name, c := range map[string]struct {
		e       nfsd.Event
		stage   bootlog.Stage
		outcome bootlog.Outcome
	}{
		"mount":   {nfsd.Event{Kind: nfsd.EventMount, OK: true, Path: "/x"}, bootlog.StageMount, ""},
		"refused": {nfsd.Event{Kind: nfsd.EventMount, Path: "/x", Reason: "no"}, bootlog.StageMount, bootlog.Denied},
		"init":    {nfsd.Event{Kind: nfsd.EventFirstRead, OK: true, Path: "usr/lib/systemd/systemd"}, bootlog.StageInit, ""},
		"own":     {nfsd.Event{Kind: nfsd.EventFirstRead, OK: true, Path: "/bin/busybox"}, bootlog.StageInit, ""},
		"other":   {nfsd.Event{Kind: nfsd.EventFirstRead, OK: true, Path: "/etc/passwd"}, "", ""},
	} {
		e, ok := bootlog.FromNFS("m", at(1), c.e, "/bin/busybox")
		if ok != (c.stage != "") || e.Stage != c.stage && ok || e.Outcome != c.outcome {
			t.Errorf("%s: %+v, %v", name, e, ok)
		}
	}
}

// Two Pis in each other's slots, of which both have power: one is silent when its
// slot gets power, and the other starts.
func TestExchangedPisAreSuspected(t *testing.T) {
	t.Parallel()
	const hint = "or it sits in the slot of node n and the other way round: that one's machine has started by itself meanwhile"
	start := func(l *bootlog.Log, s float64) {
		for _, e := range withKernel() {
			e.ID, e.Time = "n", e.Time.Add(time.Duration(s)*time.Second)
			l.Record(e)
		}
		l.Record(bootlog.Event{ID: "n", Time: at(s + 12), Stage: bootlog.StageMount})
	}
	for name, c := range map[string]struct {
		happens func(l *bootlog.Log)
		want    bool
	}{
		"the other starts":            {func(l *bootlog.Log) { start(l, 101) }, true},
		"it had started before":       {func(l *bootlog.Log) { start(l, 80) }, false},
		"it starts long after":        {func(l *bootlog.Log) { start(l, 158) }, false},
		"its slot got power, too":     {func(l *bootlog.Log) { l.StartBoot("n", at(101)); start(l, 102) }, false},
		"this one is seen":            {func(l *bootlog.Log) { start(l, 101); l.Record(file(103, bootlog.Missing, "start4.elf", 0, 0)) }, false},
		"nobody else is there at all": {func(*bootlog.Log) {}, false},
	} {
		l := bootlog.New(bootlog.Config{})
		l.StartBoot("n", at(0))
		start(l, 1)
		l.StartBoot("m", at(100))
		c.happens(l)
		if got := l.Explain("m", at(165)).String(); strings.Contains(got, hint) != c.want {
			t.Errorf("%s: %q", name, got)
		}
		if got := l.Explain("m", at(150)).String(); strings.Contains(got, hint) {
			t.Errorf("%s: before its deadline it is said: %q", name, got)
		}
	}
}
