package images

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says where images are kept and where they may come from.
type Config struct {
	// Dir is the cache folder; it is made if it is missing. Required.
	Dir string
	// MaxCache bounds the cache in bytes. 0 means 16 GiB.
	MaxCache int64
	// MaxImage bounds one image in bytes as transported. 0 means 8 GiB.
	MaxImage int64
	// Reserve is what must stay free on the disk, in bytes. 0 means 256 MiB.
	Reserve int64
	// FileFolders are the folders from which file:// images may be taken.
	// Empty means none.
	FileFolders []string
	// AllowHosts lists web servers on private addresses that images may come
	// from: HOST, HOST:PORT or ADDRESS/BITS. Public addresses need no entry.
	AllowHosts []string
	// Builtins are the images that the program provides itself, by name.
	Builtins map[string]Builtin
	// Timeout bounds one download. 0 means 2 hours.
	Timeout time.Duration
	// Stall is how long a server may send nothing before the connection is
	// given up and tried again. 0 means 30 s.
	Stall time.Duration
	// Hold is how long an image stays in the cache after it was last
	// fetched, so that it can be unpacked. 0 means 15 minutes.
	Hold time.Duration
	// Log receives a line per download; nil discards.
	Log *slog.Logger
}

// Store fetches images and keeps them. Use one per cache folder. It is safe for
// concurrent use.
type Store struct {
	cfg     Config
	folders []folder
	net     netPolicy
	client  *http.Client
	retry   time.Duration // first pause between tries, doubled each time

	mu      sync.Mutex
	flights map[string]*flight
	held    map[string]time.Time // file name in Dir → until
	known   map[fileID]digest    // files that were copied before
}

// folder is an allowed folder as configured and as resolved.
type folder struct{ name, real string }

// Open prepares the cache folder and checks the configuration.
func Open(cfg Config) (*Store, error) {
	setDefault(&cfg.MaxCache, 16<<30)
	setDefault(&cfg.MaxImage, 8<<30)
	setDefault(&cfg.Reserve, 256<<20)
	setDefault(&cfg.Timeout, 2*time.Hour)
	setDefault(&cfg.Stall, 30*time.Second)
	setDefault(&cfg.Hold, 15*time.Minute)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir == "" {
		return nil, errors.New("no folder is configured for the image cache")
	}
	s := &Store{
		cfg:     cfg,
		retry:   500 * time.Millisecond,
		flights: map[string]*flight{},
		held:    map[string]time.Time{},
		known:   map[fileID]digest{},
	}
	for _, f := range cfg.FileFolders {
		if !filepath.IsAbs(f) {
			return nil, fmt.Errorf("allowed image folder %q is not an absolute path", f)
		}
		real, err := filepath.EvalSymlinks(f)
		if errors.Is(err, os.ErrNotExist) {
			// It may be made later; nothing can be fetched from it until a restart.
			cfg.Log.Warn("allowed image folder does not exist", "folder", f)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("allowed image folder %q: %w", f, err)
		}
		if inSystemFolder(real) {
			return nil, fmt.Errorf("allowed image folder %q is a system folder; choose another", f)
		}
		s.folders = append(s.folders, folder{filepath.Clean(f), real})
	}
	var err error
	if s.net, err = newNetPolicy(cfg.AllowHosts); err != nil {
		return nil, err
	}
	s.client = s.net.client(cfg.Stall)
	if err := os.MkdirAll(s.partial(), 0o750); err != nil {
		return nil, fmt.Errorf("making the image cache: %w", err)
	}
	return s, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// partial is the folder of unfinished downloads.
func (s *Store) partial() string { return filepath.Join(s.cfg.Dir, "partial") }

// Validate makes the checks that need no network and no reading: syntax,
// policy, and whether a file exists. Errors are of kind ErrRefused.
func (s *Store) Validate(src Source) error {
	_, err := s.parse(src)
	return err
}

// Fetch brings the image into the cache, unless it is there, and verifies it.
// Concurrent requests for one image share one download. report, which may be
// nil, is called now and then until Fetch returns, never concurrently with
// itself; it must not block.
func (s *Store) Fetch(ctx context.Context, src Source, report func(Progress)) (Image, error) {
	p, err := s.parse(src)
	if err != nil {
		return Image{}, err
	}
	switch p.scheme {
	case "builtin":
		return s.builtin(ctx, p)
	case "file":
		id, err := identify(filepath.Join(p.folder, p.name))
		if err != nil {
			return Image{}, fmt.Errorf("reading image %s: %w", p.label(), err)
		}
		s.mu.Lock()
		sum, ok := s.known[id]
		s.mu.Unlock()
		if ok && (p.sum == digest{} || p.sum == sum) {
			if img, ok := s.cached(sum); ok {
				return img, nil
			}
		}
	}
	if p.sum != (digest{}) {
		if img, ok := s.cached(p.sum); ok {
			return img, nil
		}
	}
	return s.join(ctx, p, report)
}

func (s *Store) builtin(ctx context.Context, p plan) (Image, error) {
	img, err := s.cfg.Builtins[p.url.Opaque].Image(ctx)
	if err != nil {
		return Image{}, err
	}
	if p.sum != (digest{}) && img.Digest != p.sum.String() {
		return Image{}, failure(ErrChecksum, fmt.Sprintf("wrong checksum: builtin image %q has %s, not %s; leave image_checksum unset for it", p.url.Opaque, img.Digest, p.sum))
	}
	return img, nil
}
