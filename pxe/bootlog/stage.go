// Package bootlog keeps what machines were seen doing while they boot: when
// power came on, each file they asked for, the kernel, the mounted root, init
// and the login prompt. It says in words how far a boot has come, and what
// probably holds it up. A machine is known here by an id alone.
package bootlog

import (
	"path"
	"slices"
	"strings"
)

// Stage is a step of a boot.
type Stage string

// The stages, in the order in which a boot reaches them.
const (
	// StagePower: power was switched on.
	StagePower Stage = "power"
	// StageDHCP: the machine was given an address. An event of it is named
	// DHCPFirmware or DHCPSystem; with the outcome Started it only asked, with
	// Denied it asked and got none.
	StageDHCP Stage = "dhcp"
	// StageFile: the machine asked for a file.
	StageFile Stage = "file"
	// StageKernel: the whole kernel was sent.
	StageKernel Stage = "kernel"
	// StageMount: the root file system was mounted.
	StageMount Stage = "mount"
	// StageInit: the first program was read from the root.
	StageInit Stage = "init"
	// StageLogin: the system asks for a login, or has reported that it is up.
	StageLogin Stage = "login"
)

// The names of DHCP events: who asks for an address.
const (
	// DHCPFirmware is the boot loader, by its PXE options.
	DHCPFirmware = "firmware"
	// DHCPSystem is the kernel or a later DHCP client.
	DHCPSystem = "system"
)

var order = []Stage{StagePower, StageDHCP, StageFile, StageKernel, StageMount, StageInit, StageLogin}

var texts = map[Stage]string{
	StagePower:  "power on",
	StageDHCP:   "address given by DHCP",
	StageFile:   "fetching boot files",
	StageKernel: "kernel fetched",
	StageMount:  "root file system mounted",
	StageInit:   "init started",
	StageLogin:  "system is up",
}

// Stages lists all stages in their order.
func Stages() []Stage { return slices.Clone(order) }

// String returns the stage in words.
func (s Stage) String() string {
	if t, ok := texts[s]; ok {
		return t
	}
	return string(s)
}

// rank is the place of a stage in the order; -1 if there is no such stage.
func (s Stage) rank() int { return slices.Index(order, s) }

// Outcome says what became of what a machine asked for.
type Outcome string

// The outcomes. The zero value means that a stage was reached.
const (
	// Started: a transfer began.
	Started Outcome = "started"
	// Progress: a transfer goes on.
	Progress Outcome = "progress"
	// Done: a file was sent whole.
	Done Outcome = "done"
	// Probe: the machine only looked whether a file is there.
	Probe Outcome = "probe"
	// Missing: there is no such file. Normal for most of what a Pi asks.
	Missing Outcome = "missing"
	// Denied: what was asked for belongs to another machine, or may not be had.
	Denied Outcome = "denied"
	// Failed: a transfer broke off.
	Failed Outcome = "failed"
)

// isKernel tells whether a file is a kernel, by the names that firmware asks
// for and those that people give to kernels.
func isKernel(name string) bool {
	base := strings.ToLower(path.Base(name))
	for _, start := range []string{"kernel", "vmlinu", "image", "zimage"} {
		if strings.HasPrefix(base, start) {
			return true
		}
	}
	return false
}

// isFirst tells whether a machine looks for a file when it starts.
func isFirst(name string) bool {
	switch path.Base(name) {
	case "start4.elf", "start.elf", "config.txt", "bootcode.bin":
		return true
	}
	return false
}
