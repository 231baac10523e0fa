package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// procs starts and reaps children. Process 1 gets all orphans of the system, so
// it waits for any child and cannot use os/exec, which waits for its own.
type procs struct {
	mu       sync.Mutex
	waiting  map[int]chan struct{}
	stopping bool
	// none is signalled when there are no children left.
	none chan struct{}
}

func newProcs() *procs {
	return &procs{waiting: map[int]chan struct{}{}, none: make(chan struct{}, 1)}
}

// service is a program that is started again whenever it ends.
type service struct {
	path string
	args []string
	// tty, if set, becomes its controlling terminal.
	tty string
}

// reap collects children for ever.
func (p *procs) reap() {
	dead := make(chan os.Signal, 1)
	signal.Notify(dead, syscall.SIGCHLD)
	for {
		p.collect()
		<-dead
	}
}

func (p *procs) collect() {
	for {
		p.mu.Lock()
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		done := p.waiting[pid]
		if pid > 0 {
			delete(p.waiting, pid)
		}
		p.mu.Unlock()
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			select {
			case p.none <- struct{}{}:
			default:
			}
			return
		case err != nil || pid <= 0:
			return
		case done != nil:
			close(done)
		}
	}
}

// start starts s; the channel is closed when it has ended.
func (p *procs) start(s service) (<-chan struct{}, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close() //nolint:errcheck // nothing to lose
	in, out := null, os.Stdout
	attr := &syscall.ProcAttr{Dir: "/root", Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true}}
	if s.tty != "" {
		t, err := os.OpenFile(s.tty, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			return nil, err
		}
		defer t.Close() //nolint:errcheck // the child has its own
		in, out = t, t
		attr.Sys.Setctty = true // of descriptor 0
	}
	attr.Files = []uintptr{in.Fd(), out.Fd(), out.Fd()}
	p.mu.Lock() // the child must be known before it is collected
	defer p.mu.Unlock()
	if p.stopping {
		return nil, os.ErrClosed
	}
	pid, err := syscall.ForkExec(s.path, s.args, attr)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	p.waiting[pid] = done
	return done, nil
}

// keep runs s for ever, with a pause if it ends at once.
func (p *procs) keep(s service) {
	for {
		started := time.Now()
		done, err := p.start(s)
		if err == nil {
			<-done
		}
		p.mu.Lock()
		stopping := p.stopping
		p.mu.Unlock()
		if stopping {
			return
		}
		report("starting "+s.path, err)
		if time.Since(started) < time.Second {
			time.Sleep(time.Second)
		}
	}
}

// stop ends the keeping.
func (p *procs) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	select {
	case <-p.none: // of an earlier time
	default:
	}
}

// wait waits until no children are left, but not longer than limit.
func (p *procs) wait(limit time.Duration) {
	select {
	case <-p.none:
		select {
		case p.none <- struct{}{}: // for whoever waits next
		default: // collect has said it again meanwhile
		}
	case <-time.After(limit):
	}
}
