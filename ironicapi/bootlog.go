package ironicapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"caddyshack/baremetal"
)

const eventStream = "text/event-stream"

// What a stream of events may take.
const (
	streamKeepAlive = 15 * time.Second // a comment, so that proxies and we notice who has gone
	streamWrite     = 30 * time.Second // for each event
	mostStreams     = 100
)

// showBootLog tells what a node was seen doing while it booted: the remembered
// boots as JSON, or with "Accept: text/event-stream" those and then each
// further sign as it is seen. Ironic has nothing like it.
func showBootLog(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	boots, err := c.api.Conductor.BootLog(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	if strings.Contains(c.r.Header.Get("Accept"), eventStream) {
		return c.streamBoot(n.UUID)
	}
	text, err := json.Marshal(map[string]any{"boots": boots})
	if err != nil {
		return fmt.Errorf("writing the boot log: %w", err)
	}
	c.buf = append(c.buf, text...)
	return c.reply(http.StatusOK)
}

// streamBoot sends server-sent events: first "boots" with what is remembered,
// then "sign" for each sign of the node until the client goes or the process stops.
func (c *call) streamBoot(uuid string) error {
	if c.api.streams.Add(1) > mostStreams {
		c.api.streams.Add(-1)
		return baremetal.Errorf(baremetal.Unavailable, "%d streams of boot logs are open, no more are served; close some and try again.", mostStreams)
	}
	defer c.api.streams.Add(-1)
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	if c.api.Stopping != nil {
		go func() {
			select {
			case <-c.api.Stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	h := c.w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store")
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)

	out := &events{w: c.w, flush: http.NewResponseController(c.w)}
	signs := make(chan any, 1)
	followed := make(chan error, 1)
	go func() { // before the remembered boots are read, so that nothing is lost in between
		followed <- c.api.Conductor.FollowBoot(ctx, uuid, func(event any) error {
			select {
			case signs <- event:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() { cancel(); <-followed }() //nolint:errcheck // the stream ends in any case
	boots, err := c.api.Conductor.BootLog(ctx, uuid)
	if err != nil {
		return out.broken(err)
	}
	if err := out.send("boots", boots); err != nil {
		return out.broken(err)
	}
	alive := time.NewTicker(streamKeepAlive)
	defer alive.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-followed:
			followed <- nil // for the end
			return out.broken(err)
		case s := <-signs:
			err = out.send("sign", s)
		case <-alive.C:
			err = out.comment()
		}
		if err != nil {
			return out.broken(err)
		}
	}
}

// events writes server-sent events.
type events struct {
	w     io.Writer
	flush *http.ResponseController
}

func (e *events) send(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.write("event: " + name + "\ndata: " + string(text) + "\n\n") // JSON has no line ends in it
}

// broken ends a stream: its answer has begun, so the client cannot get another,
// and one that went away is nobody's error.
func (e *events) broken(error) error { return nil }

func (e *events) comment() error { return e.write(":\n\n") }

func (e *events) write(s string) error {
	if err := e.flush.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := io.WriteString(e.w, s); err != nil {
		return err
	}
	return e.flush.Flush()
}
