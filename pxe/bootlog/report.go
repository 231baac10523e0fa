package bootlog

import (
	"fmt"
	"time"
)

// Report says in words how far a machine's latest boot has come. It is plain
// data.
type Report struct {
	// Stage is the last stage reached; empty if nothing was ever seen.
	Stage Stage `json:"stage"`
	// Start is when the boot began, and Quiet when anything was seen last.
	Start time.Time `json:"start"`
	Quiet time.Time `json:"quiet"`
	// Where says how far it has come.
	Where string `json:"where"`
	// Cause is what probably holds it up and what to look at. Empty while
	// there is no reason to worry.
	Cause string `json:"cause,omitempty"`
	// Stalled is true if there was no progress within the deadline of the
	// stage, which is or was at Due unless there is progress before.
	Stalled bool      `json:"stalled,omitempty"`
	Due     time.Time `json:"due"`
	// Silent is true if not one packet was seen since power came on.
	Silent bool `json:"silent,omitempty"`
	// File, Offset and Size are what was being fetched, if anything was.
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

// String joins the two sentences.
func (r Report) String() string {
	if r.Cause == "" {
		return r.Where
	}
	return r.Where + ": " + r.Cause
}

// quietTransfer is how long a transfer may pause before it is called stalled in
// words. Its deadline is longer.
const quietTransfer = 5 * time.Second

// Explain says where the latest boot of a machine stands, and the likely cause
// if it does not go on.
func (l *Log) Explain(id string, now time.Time) Report {
	l.mu.Lock()
	m := l.machines[id]
	if m == nil || len(m.boots) == 0 {
		l.mu.Unlock()
		return Report{Where: "nothing was seen of this machine yet"}
	}
	b := m.present().copy()
	var before *Boot
	if b.Attempt > 1 && len(m.boots) > 1 {
		earlier := m.boots[len(m.boots)-2].copy()
		before = &earlier
	}
	blocks, resent := m.resent(now)
	since, progress, silent := m.chain.since, m.chain.progress, len(m.chain.seen) == 0 && b.last(StageFile, Denied) == nil
	swapped := ""
	if until := since.Add(l.cfg.Deadlines.Power); silent && b.Powered && !now.Before(until) {
		swapped = l.startedBetween(since, until)
	}
	l.mu.Unlock()

	x := explainer{Deadlines: l.cfg.Deadlines, hearsDHCP: l.cfg.HearsDHCP, loss: loss(blocks, resent)}
	r := x.explain(&b, now)
	r.Due = progress.Add(x.of(&b, r.Stage))
	r.Stalled, r.Silent = r.Stage != StageLogin && !now.Before(r.Due), silent
	if !r.Stalled {
		return r
	}
	// What there is to say does not depend on how long ago this attempt began.
	last := &b
	if before != nil && before.rank() >= b.rank() {
		last = before
	}
	told := x.explain(last, now.Add(time.Hour))
	r.Where, r.Cause, r.File, r.Offset, r.Size = told.Where, told.Cause, told.File, told.Offset, told.Size
	if r.Stage == "" || r.Stage == StagePower { // which counts the time
		r.Where = x.explain(last, now).Where
	}
	if swapped != "" {
		r.Cause += fmt.Sprintf("; or it sits in the slot of node %s and the other way round: that one's machine has started by itself meanwhile", swapped)
	}
	if b.Attempt > 1 {
		r.Where += fmt.Sprintf(" (it has started %d times in %s)", b.Attempt, seconds(now.Sub(since)))
	}
	return r
}

// startedBetween finds a machine that has started between two times without that
// power came on in its slot, "" if there is none: if another one's came on at the
// first, and that one is silent, the two may have been exchanged.
func (l *Log) startedBetween(from, to time.Time) (id string) {
	var first time.Time
	for other, m := range l.machines {
		b := m.present()
		if b == nil || b.Powered || b.Start.Before(from) || !b.Start.Before(to) || len(m.chain.seen) == 0 || id != "" && !b.Start.Before(first) {
			continue
		}
		id, first = other, b.Start
	}
	return id
}

// explainer puts boots into words.
type explainer struct {
	Deadlines
	hearsDHCP bool
	loss      string // what is to be said of lost packets
}

func (x explainer) explain(b *Boot, now time.Time) Report {
	r := Report{Start: b.Start, Quiet: b.Quiet}
	for _, s := range order {
		if _, ok := b.Reached[s]; ok {
			r.Stage = s
		}
	}
	quiet := now.Sub(b.Quiet)
	switch r.Stage {
	case StageLogin:
		r.Where = fmt.Sprintf("%s, %s after power-on", StageLogin, b.Reached[StageLogin].Sub(b.Start).Round(100*time.Millisecond))
	case StageInit:
		r.Where = "init was started"
		if quiet >= x.Init {
			r.Cause = "no login was seen since: look at the console for what the system waits for"
		}
	case StageMount:
		r.Where = "root was mounted, but init was not read"
		if quiet >= x.Mount {
			r.Cause = "the image may lack /sbin/init, or be for another kind of processor"
		}
	case StageKernel:
		x.explainKernel(b, &r, quiet)
	case StageFile:
		x.explainFiles(b, &r, quiet)
	default:
		x.explainNoFiles(b, &r, now)
	}
	if x.loss != "" && r.Stage != StageLogin {
		if r.Cause != "" {
			r.Cause += "; "
		}
		r.Cause += x.loss
	}
	return r
}

// explainNoFiles: not one file was asked for.
func (x explainer) explainNoFiles(b *Boot, r *Report, now time.Time) {
	if e := b.last(StageFile, Denied); e != nil {
		r.Where = fmt.Sprintf("asked for %s, which was denied", e.Name)
		r.Cause = "the serial number or address belongs to another machine: " + e.Detail
		return
	}
	waited := now.Sub(b.Quiet)
	if r.Stage == StageDHCP {
		r.Where = "has an address, but has asked for no file"
		if waited >= x.DHCP {
			r.Cause = fmt.Sprintf("no TFTP request within %s of it: the answer may lack the TFTP server (option 66), or a firewall drops UDP port 69", seconds(x.DHCP))
		}
		return
	}
	if e := b.last(StageDHCP, Denied); e != nil {
		r.Where, r.Cause = "asked for an address by DHCP and got none", e.Detail
		return
	}
	r.Where = fmt.Sprintf("power came on %s ago, nothing was asked for yet", seconds(now.Sub(b.Start)))
	if !b.Powered {
		r.Where = fmt.Sprintf("watched since %s, nothing was asked for", seconds(now.Sub(b.Start)))
	}
	switch {
	case waited < x.Power:
	case b.last(StageDHCP, Started) != nil:
		r.Where = "asked for an address by DHCP, but never took one"
		r.Cause = "the answer does not reach it, or it waits for another server's: look for a second DHCP server, and for a switch port that is still learning (STP)"
	case x.hearsDHCP:
		r.Cause = fmt.Sprintf("no DHCP request within %s: the EEPROM's BOOT_ORDER may lack network boot (0xf2), "+
			"or the network cable or switch port may be dead", seconds(x.Power))
	default:
		r.Cause = fmt.Sprintf("no TFTP request within %s: the EEPROM's BOOT_ORDER may lack network boot (0xf2), "+
			"the network cable or switch port may be dead, or no DHCP server answers", seconds(x.Power))
	}
}

// explainFiles: files were asked for, but no kernel was sent whole.
func (x explainer) explainFiles(b *Boot, r *Report, quiet time.Duration) {
	last := b.latest(StageFile)
	if last == nil { // there was no room for it
		r.Where = "boot files are being fetched"
		return
	}
	r.File, r.Offset, r.Size = last.Name, last.Offset, last.Size
	switch {
	case last.Outcome == Started && quiet < quietTransfer:
		r.Where = fmt.Sprintf("fetching %s, %s of %s", last.Name, megabytes(last.Offset), megabytes(last.Size))
		return
	case last.Outcome == Started, last.Outcome == Failed:
		r.Where = fmt.Sprintf("stalled in %s at %s of %s", last.Name, megabytes(last.Offset), megabytes(last.Size))
		r.Cause = "the network is bad, or the power was cut or is too weak"
		if last.Detail != "" {
			r.Cause = last.Detail + ": " + r.Cause
		}
		return
	}
	r.Where = fmt.Sprintf("last asked for %s (%s)", last.Name, last.Outcome)
	if b.find(Done) == nil && b.find(Probe) == nil {
		first := b.find(Missing)
		r.Where = fmt.Sprintf("asked for %s, which is missing", first.Name)
		r.Cause = "nothing that it asked for is there: its serial number may be another than the registered one, or it is not to boot now"
		if d := b.last(StageFile, Denied); d != nil {
			r.Cause = fmt.Sprintf("it asked for %s of another machine: %s", d.Name, d.Detail)
		}
		return
	}
	if e := b.missingKernel(); e != nil {
		r.File, r.Offset, r.Size = e.Name, 0, 0
		r.Where = fmt.Sprintf("asked for %s which is missing", e.Name)
		r.Cause = "the image has no kernel of this name: see kernel= in config.txt"
		return
	}
	if quiet >= x.File {
		r.Cause = fmt.Sprintf("no request within %s of it: the firmware stopped, most often because a file it needs is missing or damaged", seconds(x.File))
	}
}

// explainKernel: the kernel was sent, the root not mounted.
func (x explainer) explainKernel(b *Boot, r *Report, quiet time.Duration) {
	r.Where = "kernel fetched, but root not mounted yet"
	if e := b.last(StageMount, Denied); e != nil {
		r.Where = "kernel fetched, but root was never mounted"
		r.Cause = fmt.Sprintf("the NFS server refused the mount of %s: %s", e.Name, e.Detail)
		return
	}
	if quiet >= x.Kernel {
		r.Where = "kernel fetched, but root was never mounted"
		r.Cause = fmt.Sprintf("no NFS mount within %s: the kernel may lack NFS root or the network driver, "+
			"cmdline.txt may lack ip=dhcp or name a wrong nfsroot=, or a firewall drops NFS", seconds(x.Kernel))
	}
}

const (
	// lossShown is the share of blocks that must be sent again before loss is spoken of.
	lossShown = 0.01
	// lossMemory is how long loss is remembered over power-cycles: with much of
	// it a try may end before any block was sent.
	lossMemory = 15 * time.Minute
)

// resent counts the blocks of the latest boots, and those that were sent again.
func (m *machine) resent(now time.Time) (blocks, resent int64) {
	for _, b := range m.boots {
		if now.Sub(b.Quiet) > lossMemory {
			continue
		}
		for i := range b.Entries {
			blocks += b.Entries[i].Blocks
			resent += b.Entries[i].Resent
		}
	}
	return blocks, resent
}

// loss says that the network loses packets, "" if it does not.
func loss(blocks, resent int64) string {
	if resent == 0 || float64(resent) < lossShown*float64(blocks) {
		return ""
	}
	return fmt.Sprintf("the network loses packets: %d of %d blocks had to be sent again lately; look at the cable, the switch port and its duplex mode", resent, blocks)
}

// latest returns the entry of a stage that happened last.
func (b *Boot) latest(stage Stage) *Entry {
	var found *Entry
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Stage == stage && e.Outcome != Denied && (found == nil || !e.Last.Before(found.Last)) {
			found = e
		}
	}
	return found
}

// last returns the last entry of a stage with an outcome.
func (b *Boot) last(stage Stage, outcome Outcome) *Entry {
	for i := len(b.Entries) - 1; i >= 0; i-- {
		if e := &b.Entries[i]; e.Stage == stage && e.Outcome == outcome {
			return e
		}
	}
	return nil
}

// find returns the first file with an outcome.
func (b *Boot) find(outcome Outcome) *Entry {
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Stage == StageFile && e.Outcome == outcome {
			return e
		}
	}
	return nil
}

// missingKernel returns the last kernel that was asked for in vain, if that is
// what the boot ended with: a Pi tries several names.
func (b *Boot) missingKernel() *Entry {
	for i := len(b.Entries) - 1; i >= 0; i-- {
		if e := &b.Entries[i]; e.Stage == StageFile && isKernel(e.Name) {
			if e.Outcome == Missing {
				return e
			}
			return nil
		}
	}
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds())) }

func megabytes(n int64) string {
	const mega = 1e6
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < mega:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 10*mega:
		return fmt.Sprintf("%.1f MB", float64(n)/mega)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/mega)
}
