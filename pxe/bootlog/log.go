package bootlog

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Config bounds a [Log]. Zero fields take the defaults named beside them.
type Config struct {
	// Machines is how many machines are remembered (4096). Beyond it the one
	// that was quiet longest is forgotten.
	Machines int
	// Boots is how many boots of a machine are remembered (8).
	Boots int
	// Entries is how many lines a boot's timeline may have (256). A boot has
	// about 40.
	Entries int
	// Deadlines are when a boot counts as standing still.
	Deadlines Deadlines
	// HearsDHCP says that DHCP requests are entered: their absence tells something.
	HearsDHCP bool
}

// Log keeps the boots of many machines in memory. Its methods may be called
// from many goroutines. Make one with [New].
type Log struct {
	cfg Config

	mu       sync.Mutex
	machines map[string]*machine
	subs     map[*subscriber]struct{}
}

type machine struct {
	boots []*record // the last is the present one
	seen  time.Time
	chain chain
}

// record is a boot as it is kept.
type record struct {
	Boot
	index map[key]int
}

// key tells entries apart; a repeated one is counted, not listed again.
type key struct {
	stage   Stage
	outcome Outcome
	name    string
}

type subscriber struct {
	id     string // "" = all
	c      chan Update
	missed int
}

// New returns an empty log.
func New(cfg Config) *Log {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&cfg.Machines, 4096)
	set(&cfg.Boots, 8)
	set(&cfg.Entries, 256)
	cfg.Deadlines = cfg.Deadlines.complete()
	return &Log{cfg: cfg, machines: make(map[string]*machine), subs: make(map[*subscriber]struct{})}
}

// earlySign is how long before the news of it power may have come on: the
// first requests of a machine can be faster than its unit's report.
const earlySign = 5 * time.Second

// StartBoot begins a new boot: power was switched on.
func (l *Log) StartBoot(id string, at time.Time) {
	if id == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.machine(id, at)
	e := Event{ID: id, Time: at, Stage: StagePower}
	if b := m.present(); b != nil && !b.Powered && b.Attempt == 1 && at.Sub(b.Start) < earlySign {
		b.Powered = true // it was seen before the news of its power
		e.Time = b.Start
		l.add(b, e)
		l.publish(e)
		return
	}
	m.chain = newChain(at)
	b := l.begin(m, id, at)
	b.Powered = true
	l.add(b, e)
	l.publish(e)
}

// Expect begins a boot of a machine of which nothing is known, as after the
// start of this process: its deadlines count from now on.
func (l *Log) Expect(id string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == "" || l.machines[id] != nil {
		return
	}
	m := l.machine(id, at)
	m.chain = newChain(at)
	l.begin(m, id, at)
}

// Record adds an event to the present boot of its machine. A machine that
// begins to load again without a power-on gets a new boot.
func (l *Log) Record(e Event) {
	if e.ID == "" || e.Stage.rank() < 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.machine(e.ID, e.Time)
	b := l.bootOf(m, e)
	if b == nil {
		return
	}
	if b == m.present() {
		m.chain.note(e)
	}
	l.add(b, e)
	l.publish(e)
}

// present is the latest boot, nil if there is none.
func (m *machine) present() *record {
	if len(m.boots) == 0 {
		return nil
	}
	return m.boots[len(m.boots)-1]
}

// Forget drops all that is known of a machine.
func (l *Log) Forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.machines, id)
}

// Timeline returns the remembered boots of a machine, the latest first.
func (l *Log) Timeline(id string) []Boot {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.machines[id]
	if m == nil {
		return nil
	}
	list := make([]Boot, 0, len(m.boots))
	for _, b := range slices.Backward(m.boots) {
		list = append(list, b.copy())
	}
	return list
}

func (b *record) copy() Boot {
	c := b.Boot
	c.Entries = slices.Clone(b.Entries)
	c.Reached = maps.Clone(b.Reached)
	return c
}

// Reached tells when a machine first reached a stage, or one beyond it, at or
// after a time.
func (l *Log) Reached(id string, stage Stage, since time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first time.Time
	m := l.machines[id]
	if m == nil {
		return first, false
	}
	for _, b := range m.boots {
		for _, at := range b.marks(stage) {
			if !at.Before(since) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first, !first.IsZero()
}

func (b *record) marks(from Stage) []time.Time {
	var list []time.Time
	for s, at := range b.Reached {
		if s.rank() >= from.rank() {
			list = append(list, at)
		}
	}
	return list
}

// Subscribe returns a channel on which all further events of a machine come,
// or of all machines if id is empty. A subscriber that does not keep up misses
// some. The channel is closed by stop.
func (l *Log) Subscribe(id string, buffer int) (updates <-chan Update, stop func()) {
	s := &subscriber{id: id, c: make(chan Update, max(buffer, 1))}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs[s] = struct{}{}
	return s.c, sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, s)
		close(s.c)
	})
}

func (l *Log) publish(e Event) {
	for s := range l.subs {
		if s.id != "" && s.id != e.ID {
			continue
		}
		select {
		case s.c <- Update{Event: e, Missed: s.missed}:
			s.missed = 0
		default:
			s.missed++
		}
	}
}

// machine finds or makes a machine.
func (l *Log) machine(id string, at time.Time) *machine {
	m := l.machines[id]
	if m == nil {
		if len(l.machines) >= l.cfg.Machines {
			l.forgetQuietest()
		}
		m = &machine{}
		l.machines[id] = m
	}
	if at.After(m.seen) {
		m.seen = at
	}
	return m
}

func (l *Log) forgetQuietest() {
	var quietest string
	for id, m := range l.machines {
		if q := l.machines[quietest]; q == nil || m.seen.Before(q.seen) {
			quietest = id
		}
	}
	delete(l.machines, quietest)
}

// begin adds a boot to the machine's chain.
func (l *Log) begin(m *machine, id string, at time.Time) *record {
	m.chain.attempts++
	b := &record{Boot: Boot{ID: id, Start: at, Quiet: at, Attempt: m.chain.attempts, Reached: make(map[Stage]time.Time)}, index: make(map[key]int)}
	if len(m.boots) == l.cfg.Boots {
		m.boots = slices.Delete(m.boots, 0, 1)
	}
	m.boots = append(m.boots, b)
	return b
}

// bootOf tells which boot an event belongs to; nil means one that is not
// remembered.
func (l *Log) bootOf(m *machine, e Event) *record {
	now := m.present()
	if now == nil {
		m.chain = newChain(e.Time)
		return l.begin(m, e.ID, e.Time)
	}
	// A transfer that began before power was cut is given up long after.
	if began := e.Time.Add(-e.Duration); e.Duration > 0 && began.Before(now.Start) {
		for _, b := range slices.Backward(m.boots) {
			if !began.Before(b.Start) {
				return b
			}
		}
		return nil
	}
	if !now.restartedBy(e) {
		return now
	}
	if e.Outcome == Probe { // its beginning was taken for a part of the boot before
		now.dropRunning(e.Name)
	}
	if now.rank() >= StageMount.rank() { // a running system that restarts by itself
		m.chain = newChain(e.Time)
	}
	return l.begin(m, e.ID, e.Time)
}

// dropRunning takes out the line of a transfer that runs.
func (b *record) dropRunning(name string) {
	k := key{StageFile, Started, name}
	if i, ok := b.index[k]; ok {
		delete(b.index, k)
		b.remove(i)
	}
}

// rank is how far the boot has come.
func (b *Boot) rank() int {
	most := -1
	for s := range b.Reached {
		most = max(most, s.rank())
	}
	return most
}

// restartedBy tells whether a request means that the machine has started again.
func (b *record) restartedBy(e Event) bool {
	_, kernel := b.Reached[StageKernel]
	switch {
	case e.Stage == StageDHCP:
		return kernel && e.Name == DHCPFirmware
	case e.Stage != StageFile || !isFirst(e.Name):
		return false
	case kernel:
		return e.Outcome == Probe || e.Outcome == Started || e.Outcome == Missing
	}
	// Without a kernel it is harder to tell: the first files are asked for
	// more than once. What a firmware does only at its very start is to probe.
	config, ok := b.index[key{StageFile, Done, "config.txt"}]
	if !ok || e.Outcome != Probe {
		return false
	}
	// A probe that began before config.txt did may be told of after it: the server
	// hears of its end on another socket.
	running, ok := b.index[key{StageFile, Started, e.Name}]
	return !ok || b.Entries[running].Last.After(b.Entries[config].Time)
}

// add puts an event in a boot.
func (l *Log) add(b *record, e Event) {
	if e.Time.After(b.Quiet) {
		b.Quiet = e.Time
	}
	b.reach(e)
	// The steps of one transfer share a line, which ends as its outcome.
	k := key{e.Stage, e.Outcome, e.Name}
	running := key{e.Stage, Started, e.Name}
	switch e.Outcome {
	case Progress:
		e.Outcome, k = Started, running
		if i, ok := b.index[k]; ok {
			b.Entries[i].Event, b.Entries[i].Last = keepTime(b.Entries[i].Event, e), e.Time
			return
		}
	case Done, Failed, Probe:
		if i, ok := b.index[running]; ok {
			delete(b.index, running)
			if j, ok := b.index[k]; ok {
				b.repeat(j, e)
				b.remove(i)
				return
			}
			b.Entries[i].Event, b.Entries[i].Last = keepTime(b.Entries[i].Event, e), e.Time
			b.index[k] = i
			return
		}
	}
	if i, ok := b.index[k]; ok {
		b.repeat(i, e)
		return
	}
	if len(b.Entries) >= l.cfg.Entries {
		b.Dropped++
		return
	}
	b.index[k] = len(b.Entries)
	b.Entries = append(b.Entries, Entry{Event: e, Count: 1, Last: e.Time})
}

func (b *record) reach(e Event) {
	mark := func(s Stage) {
		if at, ok := b.Reached[s]; !ok || e.Time.Before(at) {
			b.Reached[s] = e.Time
		}
	}
	switch {
	case e.Outcome == "":
		mark(e.Stage)
	case e.Stage == StageFile && e.Outcome != Denied:
		mark(StageFile)
		if e.Outcome == Done && isKernel(e.Name) {
			mark(StageKernel)
		}
	}
}

func (b *record) repeat(i int, e Event) {
	b.Entries[i].Count++
	b.Entries[i].Last = e.Time
	b.Entries[i].Detail = e.Detail
	b.Entries[i].Blocks += e.Blocks
	b.Entries[i].Resent += e.Resent
	b.Entries[i].Offset = max(b.Entries[i].Offset, e.Offset)
}

func (b *record) remove(i int) {
	b.Entries = slices.Delete(b.Entries, i, i+1)
	for k, j := range b.index {
		if j > i {
			b.index[k] = j - 1
		}
	}
}

// keepTime returns the later event with the time of the earlier.
func keepTime(earlier, later Event) Event {
	later.Time = earlier.Time
	return later
}
