package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on all Linux machines
// that Go runs on.
const tick = 10 * time.Millisecond

// machine knows what else the machine does while something is measured.
type machine struct {
	mu      sync.Mutex
	running map[int]struct{} // processes that are measured; ended ones count as children
}

func newMachine() *machine { return &machine{running: map[int]struct{}{}} }

func (m *machine) add(pid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[pid] = struct{}{}
}

func (m *machine) remove(pid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running, pid)
}

// ours is the CPU time of this process, its ended children and the servers.
func (m *machine) ours() (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, fmt.Errorf("reading this process's CPU time: %w", err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for pid := range m.running {
		used, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// cpuOf is the CPU time of a process, user and system, of all its threads, and
// of its children that it has waited for.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading a process's CPU time: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold blanks
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0, fmt.Errorf("/proc/%d/stat is not understood: %q", pid, text)
	}
	var ticks int64
	for _, field := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// busy is the time that all CPUs have not been idle.
func busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat is not understood: %q", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} { // user nice system irq softirq steal
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// span is a stretch of time during which others may have used the machine.
type span struct {
	m          *machine
	begin      time.Time
	busy, ours time.Duration
}

func (m *machine) watch() (span, error) {
	s := span{m: m, begin: time.Now()}
	var err error
	if s.busy, err = busy(); err != nil {
		return s, err
	}
	s.ours, err = m.ours()
	return s, err
}

// others is the share of the machine's CPU that went to others since watch, 0 to 1.
func (s span) others() (float64, error) {
	all, err := busy()
	if err != nil {
		return 0, err
	}
	ours, err := s.m.ours()
	if err != nil {
		return 0, err
	}
	there := time.Since(s.begin) * time.Duration(runtime.NumCPU())
	share := float64((all-s.busy)-(ours-s.ours)) / float64(there)
	return min(max(share, 0), 1), nil
}

// describe says on what is measured, with a warning if it is busy.
func (m *machine) describe(dir string) (string, error) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	sync, err := fsyncTime(dir)
	if err != nil {
		return "", err
	}
	before, err := m.watch()
	if err != nil {
		return "", err
	}
	time.Sleep(time.Second)
	others, err := before.others()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %d cores, %s, Linux %s; fsync of a page on the databases' disk: %s. Load before the run: %s; other programs take %.0f %% of the CPU.\n",
		runtime.NumCPU(), cpuModel(), strings.TrimSpace(string(kernel)), short(sync), strings.Join(strings.Fields(string(load))[:3], " "), 100*others)
	if others > busyShare {
		b.WriteString("\nWARNING: this machine is busy; for figures worth keeping, measure on a quiet one.\n")
	}
	return b.String(), nil
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for _, line := range strings.Split(string(text), "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// fsyncTime is the median time to bring a page to the disk.
func fsyncTime(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var times samples
	for range 30 {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	return times.at(0.5), nil
}
