package phonehome

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"caddyshack/baremetal"
)

// Tokens keeps which token belongs to which node, one file for each node. Its
// methods may be called from many goroutines. Make one with [Open].
type Tokens struct {
	dir string

	mu     sync.Mutex
	byHash map[[sha256.Size]byte]string // node id; a hash, so that looking it up tells nothing about tokens
	byNode map[string]entry
}

// entry is the content of a node's file.
type entry struct {
	Generation string `json:"generation"` // of the root that holds the token
	Token      string `json:"token"`
}

const suffix = ".token"

// Open reads the tokens in the folder dir, which must exist.
func Open(dir string) (*Tokens, error) {
	t := &Tokens{dir: dir, byHash: map[[sha256.Size]byte]string{}, byNode: map[string]entry{}}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the tokens of nodes: %w", err)
	}
	for _, f := range list {
		id, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok || !baremetal.IsUUID(id) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the token of node %s: %w", id, err)
		}
		var e entry
		if json.Unmarshal(b, &e) != nil || e.Token == "" {
			continue // half written; the next root gets a new one
		}
		t.keep(id, e)
	}
	return t, nil
}

// Token returns the token of a node's root, made anew for another generation.
func (t *Tokens) Token(nodeID, generation string) (string, error) {
	if !baremetal.IsUUID(nodeID) {
		return "", baremetal.Errorf(baremetal.Invalid, "node id %q is not a uuid", nodeID)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.byNode[nodeID]; ok && e.Generation == generation {
		return e.Token, nil
	}
	e := entry{Generation: generation, Token: rand.Text()}
	b, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	path := filepath.Join(t.dir, nodeID+suffix)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("keeping the token of node %s: %w", nodeID, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return "", fmt.Errorf("keeping the token of node %s: %w", nodeID, err)
	}
	t.drop(nodeID)
	t.keep(nodeID, e)
	return e.Token, nil
}

// Forget makes a node's token worthless. A node without one is no error.
func (t *Tokens) Forget(nodeID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(nodeID)
	if !baremetal.IsUUID(nodeID) {
		return nil
	}
	if err := os.Remove(filepath.Join(t.dir, nodeID+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the token of node %s: %w", nodeID, err)
	}
	return nil
}

// Node tells whose token it is.
func (t *Tokens) Node(token string) (nodeID string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	nodeID, ok = t.byHash[sha256.Sum256([]byte(token))]
	return nodeID, ok
}

func (t *Tokens) keep(id string, e entry) {
	t.byNode[id] = e
	t.byHash[sha256.Sum256([]byte(e.Token))] = id
}

func (t *Tokens) drop(id string) {
	if e, ok := t.byNode[id]; ok {
		delete(t.byHash, sha256.Sum256([]byte(e.Token)))
		delete(t.byNode, id)
	}
}
