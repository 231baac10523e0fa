package keystone

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// key stands for a token in memory, without being of use elsewhere.
type key [sha256.Size]byte

// cache remembers what Keystone said of tokens; nil is a bad one.
type cache struct {
	secret []byte

	mu   sync.Mutex
	said map[key]said
}

type said struct {
	info  *tokenInfo
	until time.Time
}

func (c *cache) init() error {
	c.secret, c.said = make([]byte, sha256.Size), map[key]said{}
	if _, err := rand.Read(c.secret); err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	return nil
}

// key of a token; late ones are asked about differently and kept apart.
func (c *cache) key(token string, late bool) (k key) {
	mac := hmac.New(sha256.New, c.secret)
	if late {
		mac.Write([]byte("late "))
	}
	mac.Write([]byte(token))
	mac.Sum(k[:0])
	return k
}

func (c *cache) get(k key) (*tokenInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.said[k]
	if !ok || !time.Now().Before(s.until) {
		return nil, false
	}
	return s.info, true
}

func (c *cache) put(k key, info *tokenInfo, goodFor time.Duration) {
	if goodFor <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.said) >= maxRemembered {
		for old, s := range c.said {
			if !now.Before(s.until) || s.info == nil { // bad ones first: strangers make any number of them
				delete(c.said, old)
			}
		}
		if len(c.said) >= maxRemembered {
			clear(c.said)
		}
	}
	c.said[k] = said{info, now.Add(goodFor)}
}
