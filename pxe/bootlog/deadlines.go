package bootlog

import "time"

// Deadlines are how long a boot may go without progress at each point before
// it counts as standing still. Progress is what was not seen before since power
// came on, so that a machine that tries the same again and again makes none.
// Zero fields take the defaults named beside them.
type Deadlines struct {
	// Power is from power-on to the first request (60 s): a Pi 3 gives up after
	// 25 s, a Pi 4 goes on asking DHCP for 45 s.
	Power time.Duration
	// DHCP is from the address to the first request for a file (30 s).
	DHCP time.Duration
	// Transfer is between two blocks of a file (30 s), as long as a Pi itself waits.
	Transfer time.Duration
	// File is from the end of a file to the next request (30 s).
	File time.Duration
	// Kernel is from the whole kernel to the mount of the root (60 s).
	Kernel time.Duration
	// Mount is from the mount to the first read of init (60 s).
	Mount time.Duration
	// Init is from init to the login prompt or the phone-home (3 min).
	Init time.Duration
}

// complete fills in the defaults.
func (d Deadlines) complete() Deadlines {
	for _, f := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&d.Power, 60 * time.Second}, {&d.DHCP, 30 * time.Second}, {&d.Transfer, 30 * time.Second}, {&d.File, 30 * time.Second},
		{&d.Kernel, 60 * time.Second}, {&d.Mount, 60 * time.Second}, {&d.Init, 3 * time.Minute},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	return d
}

// FirstFile is how long a machine that nobody knows may take from power-on to its
// first request for a file.
func (d Deadlines) FirstFile() time.Duration {
	d = d.complete()
	return d.Power + d.DHCP
}

// of is the deadline that counts at a point of a boot.
func (d Deadlines) of(b *Boot, stage Stage) time.Duration {
	switch stage {
	case StageFile:
		if last := b.latest(StageFile); last != nil && last.Outcome == Started {
			return d.Transfer
		}
		return d.File
	case StageDHCP:
		return d.DHCP
	case StageKernel:
		return d.Kernel
	case StageMount:
		return d.Mount
	case StageInit:
		return d.Init
	}
	return d.Power
}
