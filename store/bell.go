package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"caddyshack/baremetal"
)

// bell hears the wakes of other processes: LISTEN on a connection of its own.
type bell struct {
	cfg    *pgx.ConnConfig
	self   string // marks our own notifications, which are delivered without this detour
	wakes  *wakes
	log    *slog.Logger
	cancel context.CancelFunc
	ended  chan struct{}
}

const (
	wakeChannel = "caddyshack_wake"
	// listenCheck is how often a silent connection is tried.
	listenCheck = 30 * time.Second
	maxPause    = 5 * time.Second
)

// hang connects and listens before it returns.
func hang(ctx context.Context, cfg *pgx.ConnConfig, w *wakes, log *slog.Logger) (*bell, error) {
	b := &bell{cfg: cfg, self: baremetal.NewUUID(), wakes: w, log: log, ended: make(chan struct{})}
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go b.run(life, conn)
	return b, nil
}

func (b *bell) close() {
	b.cancel()
	<-b.ended
}

// payload of a notification: who sends it, and the node.
func (b *bell) payload(uuid string) string { return b.self + " " + uuid }

func (b *bell) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, b.cfg.Copy())
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+wakeChannel); err != nil {
		b.hangUp(conn)
		return nil, err
	}
	return conn, nil
}

func (b *bell) hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		b.log.Debug("closing the connection that listens for wakes", "error", err.Error())
	}
}

// run listens and connects again, with growing pauses, until ctx ends.
func (b *bell) run(ctx context.Context, conn *pgx.Conn) {
	defer close(b.ended)
	for {
		err := b.listen(ctx, conn)
		b.hangUp(conn)
		if ctx.Err() != nil {
			return
		}
		b.log.Warn("the connection that listens for wakes is lost", "error", err.Error())
		if conn = b.reconnect(ctx); conn == nil {
			return
		}
		b.log.Info("listening for wakes again")
		b.wakes.send("") // some may have been missed
	}
}

// reconnect returns nil if ctx ended first.
func (b *bell) reconnect(ctx context.Context) *pgx.Conn {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		if conn, err := b.connect(ctx); err == nil {
			return conn
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *bell) listen(ctx context.Context, conn *pgx.Conn) error {
	for {
		wait, cancel := context.WithTimeout(ctx, listenCheck)
		n, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			if from, uuid, ok := strings.Cut(n.Payload, " "); ok && from != b.self {
				b.wakes.send(uuid)
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			if err := b.check(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// check finds out whether a connection on which nothing came is still there.
func (b *bell) check(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	return nil
}
