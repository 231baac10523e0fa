package pi

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Line is a device's end of its serial line.
type Line interface {
	// Write prints. It must not wait for whoever watches.
	Write(p []byte) (int, error)
	// Read waits for typed bytes until the context ends.
	Read(ctx context.Context, p []byte) (int, error)
	// Flush throws away what was typed while nobody read it.
	Flush()
}

// output is the printing side of a line while power is on. Once it is cut not
// a byte more comes out.
type output struct {
	line  Line
	start time.Time

	mu     sync.Mutex
	cut    bool
	silent bool     // the UART is not in use
	log    []string // what the kernel printed, for dmesg
	bol    bool     // at the beginning of a line
}

// keptLog is how many lines the kernel's log keeps.
const keptLog = 400

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(p)
}

func (o *output) write(p []byte) (int, error) {
	if o.cut || o.silent || len(p) == 0 {
		return len(p), nil
	}
	o.bol = p[len(p)-1] == '\n'
	return o.line.Write(p)
}

// printf prints a line.
func (o *output) printf(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	_, _ = o.Write([]byte(strings.ReplaceAll(s, "\n", "\r\n") + "\r\n")) // a line cannot fail
}

// kernel prints a line as a kernel does, and keeps it.
func (o *output) kernel(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := fmt.Sprintf("[%12.6f] ", time.Since(o.start).Seconds()) + fmt.Sprintf(format, args...)
	if len(o.log) == keptLog {
		o.log = o.log[1:]
	}
	o.log = append(o.log, text)
	if !o.bol {
		text = "\r\n" + text
	}
	_, _ = o.write([]byte(text + "\r\n")) // a line cannot fail
}

func (o *output) mute(silent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.silent = silent
}

func (o *output) powerCut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cut = true
}

func (o *output) dmesg() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.log...)
}
