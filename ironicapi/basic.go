package ironicapi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// How http_basic remembers and slows down.
const (
	goodFor       = 5 * time.Minute // a checked password
	maxRemembered = 1024            // checked passwords
	freeFailures  = 5               // of an address, before it has to wait
	longestWait   = 30 * time.Second
	maxWatched    = 10_000 // addresses with failures
	checksAtOnce  = 2      // running bcrypt checks; more would starve everything else
	longestBcrypt = 72     // bytes of a password that bcrypt looks at
)

// BasicAuth checks http_basic credentials against a file of users in Apache's
// format, bcrypt only. All users are administrators.
type BasicAuth struct {
	path string
	now  func() time.Time
	key  []byte // of the memory of checked passwords
	slot chan struct{}

	mu       sync.Mutex
	users    users
	dummy    []byte // what the password of an unknown user is compared with
	good     map[[sha256.Size]byte]time.Time
	failures map[string]*failing
}

// failing is an address whose logins failed.
type failing struct {
	count int
	until time.Time // refused before
	last  time.Time
}

// NewBasicAuth reads the users of a password file.
func NewBasicAuth(path string) (*BasicAuth, error) {
	a := &BasicAuth{path: path, now: time.Now, key: make([]byte, sha256.Size), slot: make(chan struct{}, checksAtOnce),
		failures: map[string]*failing{}}
	if _, err := rand.Read(a.key); err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return a, a.Reload()
}

// Reload reads the file again; on an error the old users stay.
func (a *BasicAuth) Reload() error {
	all, err := readUserFile(a.path)
	if err != nil {
		return err
	}
	dummy, err := bcrypt.GenerateFromPassword(a.key[:16], all.highestCost())
	if err != nil {
		return fmt.Errorf("making a hash for unknown users: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users, a.dummy, a.good = all, dummy, map[[sha256.Size]byte]time.Time{}
	return nil
}

// Authenticate implements Authenticator.
func (a *BasicAuth) Authenticate(r *http.Request) (Identity, *Denial) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return Identity{}, unauthorized("Authorization required")
	}
	token := a.token(name, password)
	from := remoteAddress(r)
	a.mu.Lock()
	now := a.now()
	if until, ok := a.good[token]; ok && now.Before(until) {
		a.mu.Unlock()
		return Administrator(name), nil
	}
	if wait := a.wait(from, now); wait > 0 {
		a.mu.Unlock()
		return Identity{}, slowDown(wait)
	}
	hash, known := a.users[name]
	if !known {
		hash = a.dummy
	}
	a.mu.Unlock()

	select {
	case a.slot <- struct{}{}:
	case <-r.Context().Done():
		return Identity{}, slowDown(time.Second)
	case <-time.After(longestWait):
		return Identity{}, slowDown(time.Second)
	}
	a.mu.Lock()
	wait := a.wait(from, a.now()) // others of this address may have failed while it queued
	a.mu.Unlock()
	if wait > 0 {
		<-a.slot
		return Identity{}, slowDown(wait)
	}
	text := []byte(password)
	if len(text) > longestBcrypt { // Apache cuts here as well
		text = text[:longestBcrypt]
	}
	err := bcrypt.CompareHashAndPassword(hash, text)
	<-a.slot

	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil || !known {
		a.failed(from)
		return Identity{}, unauthorized("Incorrect username or password")
	}
	delete(a.failures, from)
	if len(a.good) >= maxRemembered {
		clear(a.good)
	}
	if string(a.users[name]) == string(hash) { // not changed by a reload meanwhile
		a.good[token] = a.now().Add(goodFor)
	}
	return Administrator(name), nil
}

// token stands for a name and password in memory, without being of use elsewhere.
func (a *BasicAuth) token(name, password string) (t [sha256.Size]byte) {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(strconv.Itoa(len(name)) + ":" + name + password))
	mac.Sum(t[:0])
	return t
}

// wait is how long an address is refused from now on.
func (a *BasicAuth) wait(from string, now time.Time) time.Duration {
	if f := a.failures[from]; f != nil && now.Before(f.until) {
		return f.until.Sub(now)
	}
	return 0
}

// failed notes a failure of an address and lets it wait, longer each time.
func (a *BasicAuth) failed(from string) {
	now := a.now()
	if len(a.failures) >= maxWatched {
		for addr, f := range a.failures {
			if now.Sub(f.last) > longestWait {
				delete(a.failures, addr)
			}
		}
		if len(a.failures) >= maxWatched {
			clear(a.failures)
		}
	}
	f := a.failures[from]
	if f == nil || now.Sub(f.last) > 2*longestWait {
		f = &failing{}
		a.failures[from] = f
	}
	f.count++
	f.last = now
	if over := f.count - freeFailures; over >= 0 {
		f.until = now.Add(min(longestWait, time.Second<<min(over, 10)))
	}
}

// remoteAddress is the address a request comes from; of IPv6 the /64, since
// that is what one customer gets.
func remoteAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

func unauthorized(text string) *Denial {
	return &Denial{Status: http.StatusUnauthorized,
		Header: http.Header{"Www-Authenticate": {`Basic realm="Baremetal API"`}},
		Body:   basicError(text, http.StatusUnauthorized)}
}

func slowDown(wait time.Duration) *Denial {
	seconds := int(wait/time.Second) + 1
	return &Denial{Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {strconv.Itoa(seconds)}},
		Body:   basicError("Too many failed logins; try again later", http.StatusTooManyRequests)}
}

func basicError(text string, code int) []byte {
	b := appendString([]byte(`{"error": {"message": `), text)
	b = append(b, `, "code": `...)
	b = strconv.AppendInt(b, int64(code), 10)
	return append(b, "}}"...)
}
