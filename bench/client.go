package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// client is one HTTP/1.1 connection that is kept alive. It does little, so
// that on a small machine the server gets the CPU: it reads no headers but
// Content-Length, which the server always sends.
type client struct {
	conn  net.Conn
	r     *bufio.Reader
	head  string // headers of each request
	out   []byte
	reply []byte
}

// answerLimit bounds each request.
const answerLimit = 30 * time.Second

func dial(ctx context.Context, addr string) (*client, error) {
	conn, err := (&net.Dialer{Timeout: answerLimit}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	head := " HTTP/1.1\r\nHost: " + addr + "\r\nAccept: application/json\r\nX-OpenStack-Ironic-API-Version: 1.82\r\nUser-Agent: caddyshack-bench\r\n"
	return &client{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), head: head}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends a request; the reply is valid until the next one.
func (c *client) do(method, path string, body []byte) (status int, reply []byte, err error) {
	c.out = append(append(append(append(c.out[:0], method...), ' '), path...), c.head...)
	if body != nil {
		c.out = append(c.out, "Content-Type: application/json\r\nContent-Length: "...)
		c.out = append(strconv.AppendInt(c.out, int64(len(body)), 10), "\r\n"...)
	}
	c.out = append(append(c.out, "\r\n"...), body...)
	if err := c.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, nil, err
	}
	return c.read()
}

func (c *client) read() (status int, reply []byte, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("%q is no HTTP answer", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, fmt.Errorf("%q is no HTTP answer", line)
	}
	length := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, nil, fmt.Errorf("content length %q: %w", value, err)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, nil, fmt.Errorf("an answer without a length is not expected: %s", line)
		}
	}
	if cap(c.reply) < length {
		c.reply = make([]byte, length)
	}
	c.reply = c.reply[:length]
	_, err = io.ReadFull(c.r, c.reply)
	return status, c.reply, err
}

// want sends a request with a JSON body (nil = none) that must be answered
// with that status, and decodes the answer into to unless it is nil.
func (c *client) want(status int, method, path string, body, to any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	got, reply, err := c.do(method, path, text)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if got != status {
		return fmt.Errorf("%s %s: answered with %d instead of %d: %s", method, path, got, status, reply)
	}
	if to == nil {
		return nil
	}
	if err := json.Unmarshal(reply, to); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

func (c *client) get(path string, to any) error {
	return c.want(http.StatusOK, http.MethodGet, path, nil, to)
}

// put asks for a state that is reached later.
func (c *client) put(path string, body any) error {
	return c.want(http.StatusAccepted, http.MethodPut, path, body, nil)
}
