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

// How long a boot may be quiet at each point before a cause is named. A Pi 3
// gives up after 25 s, a Pi 4 goes on asking DHCP for 45 s, and a file may take
// 30 s.
const (
	quietPower    = 60 * time.Second
	quietTransfer = 5 * time.Second
	quietFile     = 15 * time.Second
	quietKernel   = 60 * time.Second
	quietMount    = 60 * time.Second
	quietInit     = 180 * time.Second
)

// Explain says where the latest boot of a machine stands, and the likely cause
// if it does not go on.
func (l *Log) Explain(id string, now time.Time) Report {
	l.mu.Lock()
	m := l.machines[id]
	if m == nil || len(m.boots) == 0 {
		l.mu.Unlock()
		return Report{Where: "nothing was seen of this machine yet"}
	}
	b := m.boots[len(m.boots)-1].copy()
	l.mu.Unlock()
	return b.explain(now)
}

func (b *Boot) explain(now time.Time) Report {
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
		if quiet >= quietInit {
			r.Cause = "no login was seen since: look at the console for what the system waits for"
		}
	case StageMount:
		r.Where = "root was mounted, but init was not read"
		if quiet >= quietMount {
			r.Cause = "the image may lack /sbin/init, or be for another kind of processor"
		}
	case StageKernel:
		b.explainKernel(&r, quiet)
	case StageFile:
		b.explainFiles(&r, quiet)
	default:
		b.explainNoFiles(&r, now)
	}
	return r
}

// explainNoFiles: not one file was asked for.
func (b *Boot) explainNoFiles(r *Report, now time.Time) {
	if e := b.last(StageFile, Denied); e != nil {
		r.Where = fmt.Sprintf("asked for %s, which was denied", e.Name)
		r.Cause = "the serial number or address belongs to another machine: " + e.Detail
		return
	}
	waited := now.Sub(b.Quiet)
	if r.Stage == StageDHCP {
		r.Where = "has an address, but has asked for no file"
		if waited >= quietPower {
			r.Cause = fmt.Sprintf("no TFTP request within %s of it: the answer may lack the TFTP server (option 66), or a firewall drops UDP port 69", seconds(quietPower))
		}
		return
	}
	r.Where = fmt.Sprintf("power came on %s ago, nothing was asked for yet", seconds(now.Sub(b.Start)))
	if waited >= quietPower {
		r.Cause = fmt.Sprintf("no TFTP request within %s: the EEPROM's BOOT_ORDER may lack network boot (0xf2), "+
			"the network cable or switch port may be dead, or no DHCP server answers", seconds(quietPower))
	}
}

// explainFiles: files were asked for, but no kernel was sent whole.
func (b *Boot) explainFiles(r *Report, quiet time.Duration) {
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
	if quiet >= quietFile {
		r.Cause = fmt.Sprintf("no request within %s of it: the firmware stopped, most often because a file it needs is missing or damaged", seconds(quietFile))
	}
}

// explainKernel: the kernel was sent, the root not mounted.
func (b *Boot) explainKernel(r *Report, quiet time.Duration) {
	r.Where = "kernel fetched, but root not mounted yet"
	if e := b.last(StageMount, Denied); e != nil {
		r.Where = "kernel fetched, but root was never mounted"
		r.Cause = fmt.Sprintf("the NFS server refused the mount of %s: %s", e.Name, e.Detail)
		return
	}
	if quiet >= quietKernel {
		r.Where = "kernel fetched, but root was never mounted"
		r.Cause = fmt.Sprintf("no NFS mount within %s: the kernel may lack NFS root or the network driver, "+
			"cmdline.txt may lack ip=dhcp or name a wrong nfsroot=, or a firewall drops NFS", seconds(quietKernel))
	}
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
