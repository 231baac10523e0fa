package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// writer runs all changes of a SQLite file on one connection, as many as are
// waiting in one transaction.
type writer struct {
	conn  *sql.Conn
	sql   *statements
	start moment
	wakes *wakes
	ids   *ids
	noted time.Time // when noteClock last wrote
	queue chan *request
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
}

// request is a change that waits for its answer.
type request struct {
	ctx    context.Context
	change func(ctx context.Context, tx *tx) error
	wakes  []string
	err    error
	panic  any
	done   chan struct{}
}

// maxBatch bounds how much is lost at once if a commit fails, and how long the first one waits.
const maxBatch = 256

var errClosed = errors.New("the store is closed")

func startWriter(conn *sql.Conn, start moment, w *wakes) *writer {
	wr := &writer{conn: conn, sql: newStatements(conn), start: start, wakes: w, ids: newIDs(),
		queue: make(chan *request, maxBatch), quit: make(chan struct{}), ended: make(chan struct{})}
	go wr.run()
	return wr
}

// do returns once the change is committed or refused. A change that has begun
// is not given up: its caller must learn how it ended.
func (w *writer) do(ctx context.Context, change func(ctx context.Context, tx *tx) error) error {
	r := &request{ctx: ctx, change: change, done: make(chan struct{})}
	select {
	case w.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.quit:
		return errClosed
	}
	select {
	case <-r.done:
	case <-w.ended:
		select {
		case <-r.done:
		default:
			return errClosed // it came in after the last batch
		}
	}
	if r.panic != nil {
		panic(r.panic)
	}
	return r.err
}

// stop finishes what is queued.
func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.ended
}

func (w *writer) run() {
	defer close(w.ended)
	defer func() { _ = w.conn.Close() }()
	defer w.sql.close()
	for {
		select {
		case r := <-w.queue:
			w.commit(w.more(r))
		case <-w.quit:
			for {
				select {
				case r := <-w.queue:
					w.commit(w.more(r))
				default:
					return
				}
			}
		}
	}
}

// more adds what else is waiting.
func (w *writer) more(first *request) []*request {
	batch := []*request{first}
	for len(batch) < maxBatch {
		select {
		case r := <-w.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch and answers it. The contexts of callers do not reach
// SQLite: an interrupted statement would end the transaction for all.
func (w *writer) commit(batch []*request) {
	ctx := context.Background()
	err := w.batch(ctx, batch)
	var woken []string
	for _, r := range batch {
		if r.err == nil && r.panic == nil {
			if r.err = err; err == nil {
				woken = append(woken, r.wakes...)
			}
		}
		close(r.done)
	}
	if len(woken) > 0 {
		w.wakes.send(woken...)
	}
}

func (w *writer) batch(ctx context.Context, batch []*request) (err error) {
	if _, err := w.sql.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	good := 0
	for _, r := range batch {
		if err := w.one(ctx, r, len(batch) == 1); err != nil {
			return errors.Join(err, w.rollback(ctx))
		}
		if r.err == nil && r.panic == nil {
			good++
		}
	}
	if good == 0 {
		return w.rollback(ctx)
	}
	if err := w.noteClock(ctx); err != nil {
		return errors.Join(err, w.rollback(ctx))
	}
	if _, err := w.sql.exec(ctx, "COMMIT"); err != nil {
		return errors.Join(err, w.rollback(ctx))
	}
	w.ids.settle(true)
	return nil
}

// one runs a change in a savepoint, which it needs unless it is alone. The
// error it returns is about the whole transaction; that of the change is in r.
func (w *writer) one(ctx context.Context, r *request, alone bool) error {
	if r.err = r.ctx.Err(); r.err != nil {
		return nil //nolint:nilerr // it is the caller's, not the transaction's
	}
	if alone {
		r.run(ctx, w.sql, w.ids)
		return nil
	}
	if _, err := w.sql.exec(ctx, "SAVEPOINT change"); err != nil {
		return err
	}
	r.run(ctx, w.sql, w.ids)
	if r.err != nil || r.panic != nil {
		w.ids.settle(false)
		if _, err := w.sql.exec(ctx, "ROLLBACK TO change"); err != nil {
			return errors.Join(fmt.Errorf("undoing a change: %w", err), r.err)
		}
	}
	_, err := w.sql.exec(ctx, "RELEASE change")
	return err
}

// run keeps a panic of the change for its caller, so that it ends where it belongs.
func (r *request) run(ctx context.Context, q querier, numbers *ids) {
	defer func() { r.panic = recover() }()
	t := &tx{querier: q, ids: numbers}
	r.err = r.change(ctx, t)
	r.wakes = t.wakes
}

func (w *writer) rollback(ctx context.Context) error {
	w.ids.settle(false)
	_, err := w.sql.exec(ctx, "ROLLBACK")
	return err
}

// noteEvery is how old the note of the clocks may get while there are writes.
// Only after a reboot with a wall clock that went backwards does its age
// matter: waits then end that much later.
const noteEvery = 10 * time.Second

// noteClock records now and then how the clocks stand, for the next start.
func (w *writer) noteClock(ctx context.Context) error {
	wall := time.Now()
	if wall.Sub(w.noted) < noteEvery {
		return nil
	}
	w.noted = wall
	passed := wall.Sub(w.start.store)
	_, err := w.sql.exec(ctx, `INSERT INTO clock (id, store_time, wall_time, boot_id, uptime) VALUES (1, $1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET store_time = excluded.store_time, wall_time = excluded.wall_time,
		boot_id = excluded.boot_id, uptime = excluded.uptime`,
		w.start.store.Add(passed).UnixMicro(), wall.UnixMicro(), w.start.bootID, (w.start.uptime + passed).Microseconds())
	return err
}
