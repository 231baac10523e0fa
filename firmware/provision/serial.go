package provision

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
)

// Baud is the speed of a unit's serial port.
const Baud = 115200

// How long an answer may take, how often a unit that is starting is greeted
// anew, and how long it may take to greet back (opening the port restarts it).
const (
	answerWait = 3 * time.Second
	greetEvery = time.Second
	greetWait  = 20 * time.Second
)

// ErrRefused is returned when the unit does not take a line.
var ErrRefused = errors.New("the unit refused")

// Open opens a unit's serial port, such as /dev/ttyUSB0.
func Open(path string) (io.ReadWriteCloser, error) {
	port, err := serial.Open(path, &serial.Mode{BaudRate: Baud})
	if err != nil {
		return nil, fmt.Errorf("opening the serial port %q (is the unit plugged in, are you in group dialout?): %w", path, err)
	}
	return port, nil
}

// Conn speaks the set-up protocol: a JSON object a line to the unit, and lines
// that start with @ from it, between lines of its log.
type Conn struct {
	port    io.ReadWriteCloser
	answers chan map[string]any
	ended   chan struct{}
	n       atomic.Uint32
}

// NewConn begins to read from a port; Close ends it and closes the port.
func NewConn(port io.ReadWriteCloser) *Conn {
	c := &Conn{port: port, answers: make(chan map[string]any, 8), ended: make(chan struct{})}
	go c.read()
	return c
}

// Close closes the port.
func (c *Conn) Close() error { return c.port.Close() }

func (c *Conn) read() {
	defer close(c.ended)
	lines := bufio.NewScanner(c.port)
	for lines.Scan() {
		// What was in the cable before the unit started may stand before the answer.
		_, text, ok := strings.Cut(lines.Text(), "@")
		var answer map[string]any
		if !ok || json.Unmarshal([]byte(text), &answer) != nil {
			continue
		}
		select {
		case c.answers <- answer:
		default: // nobody has asked for so many
		}
	}
}

// ask sends a line and returns its answer.
func (c *Conn) ask(ctx context.Context, op string, fields map[string]any, wait time.Duration) (map[string]any, error) {
	n := c.n.Add(1)
	line := map[string]any{"op": op, "n": n}
	for k, v := range fields {
		line[k] = v
	}
	b, err := json.Marshal(line)
	if err != nil {
		return nil, fmt.Errorf("telling the unit to %s: %w", op, err)
	}
	// The newline in front ends whatever half a line the unit may hold.
	if _, err := c.port.Write(append(append([]byte("\n"), b...), '\n')); err != nil {
		return nil, fmt.Errorf("telling the unit to %s: %w", op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		select {
		case a := <-c.answers:
			if a["n"] != float64(n) {
				continue
			}
			if a["ok"] != true {
				return nil, fmt.Errorf("telling the unit to %s: %w: %v", op, ErrRefused, a["error"])
			}
			return a, nil
		case <-c.ended:
			return nil, fmt.Errorf("telling the unit to %s: the serial port was closed", op)
		case <-ctx.Done():
			return nil, fmt.Errorf("telling the unit to %s: no answer: %w", op, ctx.Err())
		}
	}
}
