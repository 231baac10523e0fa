package ovs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// rpc is a JSON-RPC 1.0 connection, as OVSDB and the control sockets of Open
// vSwitch's daemons speak it: bare JSON values one after another.
type rpc struct {
	conn net.Conn

	writing sync.Mutex // one message at a time

	mu      sync.Mutex // guards what follows
	next    int
	pending map[int]chan message
	failed  error         // why the connection ended
	ended   chan struct{} // closed then
}

// message is a request, a notification or a reply.
type message struct {
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
	ID     json.RawMessage `json:"id"`
}

// newRPC serves a connection until it ends; notify gets the notifications of
// the other side, in order.
func newRPC(conn net.Conn, notify func(method string, params json.RawMessage)) *rpc {
	r := &rpc{conn: conn, pending: map[int]chan message{}, ended: make(chan struct{})}
	go r.read(notify)
	return r
}

func (r *rpc) read(notify func(string, json.RawMessage)) {
	dec := json.NewDecoder(r.conn)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			r.fail(err)
			return
		}
		switch {
		case m.Method == "echo": // the server asks whether we live
			if err := r.write(map[string]any{"result": m.Params, "error": nil, "id": m.ID}); err != nil {
				r.fail(err)
				return
			}
		case m.Method != "":
			notify(m.Method, m.Params)
		default:
			r.deliver(m)
		}
	}
}

func (r *rpc) deliver(m message) {
	var id int
	if json.Unmarshal(m.ID, &id) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if reply := r.pending[id]; reply != nil {
		delete(r.pending, id)
		reply <- m // holds one
	}
}

func (r *rpc) fail(err error) {
	_ = r.conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
		close(r.ended)
	}
}

func (r *rpc) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	_, err = r.conn.Write(b)
	return err
}

// call waits for the reply, and decodes it into result unless that is nil. When
// ctx ends first the connection ends too, so that nothing is left half asked.
func (r *rpc) call(ctx context.Context, method string, params, result any) error {
	reply := make(chan message, 1)
	r.mu.Lock()
	if r.failed != nil {
		defer r.mu.Unlock()
		return r.failed
	}
	r.next++
	id := r.next
	r.pending[id] = reply
	r.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { r.fail(ctx.Err()) })
	defer stop()
	if err := r.write(map[string]any{"method": method, "params": params, "id": id}); err != nil {
		r.fail(err)
		return errors.Join(ctx.Err(), err)
	}
	select {
	case m := <-reply:
		if len(m.Error) > 0 && string(m.Error) != "null" {
			return fmt.Errorf("%s: %s", method, m.Error)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-r.ended:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.failed
	}
}
