// Package demo provides the demo image: a root file system for 64-bit Raspberry
// Pis that boots on real ones, in QEMU and in the simulator.
//
// It is made on the user's machine, out of Go modules alone: the kernel and the
// firmware come from modules that carry them, and all of user land is one
// program, whose source is embedded here and compiled with the user's own Go.
// What was made is kept in the user's cache folder. Without a Go tool chain a
// tiny root takes its place, which only the simulator can boot.
package demo

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/images"
)

// Name is the image's name as a builtin: image_source is "builtin:demo".
const Name = "demo"

// layout is the version of what is in the archive, besides the embedded files.
// It goes up with each change of archive.go.
const layout = "2"

//go:embed init/*.go module/*.txt files
var embedded embed.FS

// Config says how the image is made.
type Config struct {
	// Dir is where it is kept. Empty means the folder "caddyshack" in the
	// user's cache folder, or in the system's folder for temporary files if
	// the user has none.
	Dir string
	// TinyDir is where the tiny root is written, if it comes to that. Empty
	// means Dir.
	TinyDir string
	// Go is the go command. Empty means the one in PATH, or else in the usual
	// places.
	Go string
	// RequireReal fails rather than fall back to the tiny root, which real
	// hardware and QEMU cannot boot.
	RequireReal bool
	// Env is added to the environment of the go command, as KEY=VALUE.
	Env []string
	// Log receives a line per stage; nil discards.
	Log *slog.Logger
}

// Builder makes the demo image once and then provides it. It is an
// images.Builtin.
type Builder struct {
	cfg Config

	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // of Prepare, which Image may have to begin anew
	status Status
	image  images.Image
	done   bool
}

// Status tells how far the image is, for people.
type Status struct {
	// Text says what is being done, or which image is used and why.
	Text string `json:"text"`
	// Ready is true when Image succeeds.
	Ready bool `json:"ready"`
	// Tiny is true when the tiny root stands in for the image.
	Tiny bool `json:"tiny"`
	// Problem says why the image could not be made, and what to do.
	Problem string `json:"problem,omitempty"`
}

// New returns a builder that has done nothing yet.
func New(cfg Config) *Builder {
	if cfg.Dir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		cfg.Dir = filepath.Join(dir, "caddyshack")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Builder{cfg: cfg, status: Status{Text: "its preparation has not begun"}}
}

// Status tells how far the image is.
func (b *Builder) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// Image returns the image, or an error that wraps images.ErrNotReady until
// Prepare has made it.
func (b *Builder) Image(context.Context) (images.Image, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status.Ready {
		_, err := os.Stat(b.image.Path)
		if err == nil {
			return b.image, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return images.Image{}, err
		}
		// Somebody has emptied the cache.
		b.done, b.status = false, Status{Text: "it is not in the cache any more and is made anew"}
		go func(ctx context.Context) { _ = b.Prepare(ctx) }(b.ctx) // the status tells of its end
	}
	switch {
	case b.done:
		return images.Image{}, errors.New("the demo image cannot be made: " + b.status.Problem)
	}
	return images.Image{}, &images.NotReadyError{Name: Name, Progress: b.status.Text}
}

// say records progress.
func (b *Builder) say(text string) {
	b.mu.Lock()
	b.status.Text = text
	b.mu.Unlock()
	b.cfg.Log.Info("demo image", "stage", text)
}

// Prepare takes the image from the cache or makes it, which takes a while: run
// it in the background. It returns an error if neither the image nor, unless
// Config.RequireReal is set, the tiny root can be had. Call it once.
func (b *Builder) Prepare(ctx context.Context) error {
	began := time.Now()
	b.mu.Lock()
	b.ctx = ctx
	b.mu.Unlock()
	img, cached, err := b.prepare(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	switch {
	case err == nil && cached:
		b.image, b.status = img, Status{Ready: true, Text: "the demo image is taken from " + img.Path}
	case err == nil:
		b.image, b.status = img, Status{Ready: true, Text: fmt.Sprintf("the demo image was made in %.0f s", time.Since(began).Seconds())}
	default:
		b.status = Status{Text: "the demo image cannot be made", Problem: err.Error()}
		if b.cfg.RequireReal || ctx.Err() != nil {
			return fmt.Errorf("making the demo image: %w", err)
		}
		tiny, terr := b.tiny()
		if terr != nil {
			return fmt.Errorf("making the demo image: %w; and a tiny one in its place: %w", err, terr)
		}
		b.image = tiny
		b.status = Status{Ready: true, Tiny: true, Problem: err.Error(),
			Text: "a tiny root for the simulator stands in for the demo image"}
		b.cfg.Log.Warn("demo image: "+b.status.Text, "why", err)
		return nil
	}
	b.cfg.Log.Info("demo image: "+b.status.Text, "bytes", img.Size, "seconds", time.Since(began).Seconds())
	return nil
}

// prepare finds or makes the image.
func (b *Builder) prepare(ctx context.Context) (img images.Image, cached bool, err error) {
	if img, ok := b.cached(); ok {
		return img, true, nil
	}
	tool, err := b.findGo()
	if err != nil {
		return img, false, err
	}
	if err := os.MkdirAll(b.cfg.Dir, 0o755); err != nil {
		return img, false, fmt.Errorf("%w; set HOME or XDG_CACHE_HOME to a place that can be written", err)
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return img, false, err
	}
	defer unlock()
	if img, ok := b.cached(); ok { // made by another process meanwhile
		return img, true, nil
	}
	img, err = b.build(ctx, tool)
	return img, false, err
}

// key names the image by everything it is made from.
func key() string {
	h := sha256.New()
	_, _ = io.WriteString(h, layout)
	err := fs.WalkDir(embedded, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := embedded.ReadFile(name)
		_, _ = fmt.Fprintf(h, "\n%s %d\n%s", name, len(data), data)
		return err
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// archive is where the image is kept. Beside it, with .json, is its description.
func (b *Builder) archive() string { return filepath.Join(b.cfg.Dir, "demo-"+key()+".tar") }

// cached returns the image if it is there and whole.
func (b *Builder) cached() (images.Image, bool) {
	var img images.Image
	data, err := os.ReadFile(b.archive() + ".json")
	if err != nil || json.Unmarshal(data, &img) != nil {
		return img, false
	}
	sum, size, err := digest(b.archive())
	if err != nil || sum != img.Digest || size != img.Size {
		return img, false
	}
	img.Path = b.archive() // the cache folder may have been moved
	now := time.Now()
	_ = os.Chtimes(img.Path, now, now) // for clean
	return img, true
}

// keep moves a finished archive into the cache.
func keep(tmp, to string) (images.Image, error) {
	sum, size, err := digest(tmp)
	if err != nil {
		return images.Image{}, err
	}
	img := images.Image{Path: to, Digest: sum, Size: size}
	data, err := json.Marshal(img)
	if err != nil {
		return images.Image{}, err
	}
	if err := os.Rename(tmp, to); err != nil {
		return images.Image{}, err
	}
	// Last, as it makes the archive valid.
	if err := os.WriteFile(tmp+".json", data, 0o644); err != nil {
		return images.Image{}, err
	}
	return img, os.Rename(tmp+".json", to+".json")
}

// digest reads a file.
func digest(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	size, err = io.Copy(h, f)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), size, err
}

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 300 * time.Millisecond

// lock keeps two processes from making the image at the same time. The kernel
// gives it up when the process ends, however it ends.
func (b *Builder) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.cfg.Dir, "demo.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("locking %q: %w", f.Name(), err), f.Close())
		}
		if first {
			b.say("waiting for another caddyshack, which is making it")
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
	}
}
