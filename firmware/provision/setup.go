package provision

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Settings are what a unit must know. Empty fields are left as they are in the unit.
type Settings struct {
	ID           string // on the bus: a-z 0-9 -, at most 23; the unit's default is bpu- and the end of its MAC
	SSID         string // of the Wi-Fi
	WiFiPassword string
	Host         string // of the broker
	Port         int    // of the broker; 0 = leave
	User         string // at the broker; the unit's default is its ID
	Password     string
	// Keys are the broker's P-256 public keys (BrokerKey), at most two: the
	// second is for changing it. With keys the unit uses TLS and believes
	// nobody else.
	Keys [][]byte
	// Plain turns TLS off. For a network that is trusted only.
	Plain  bool
	Policy string // after a loss of power: off, last or on
	Index  *int   // of the unit in the chassis, from 0
}

// Identity is what a unit tells of itself.
type Identity struct {
	ID      string
	MAC     string // 12 hex digits
	Version uint32 // major*10000 + minor*100 + patch
	Boot    uint32
}

// ErrNotConnected is returned when the unit took its settings but does not reach the broker.
var ErrNotConnected = errors.New("the unit does not reach the broker: check the Wi-Fi's name and password, " +
	"the broker's address and key, and that it knows the unit's user and password")

// BrokerKey returns the public key of a broker's certificate in the form units pin.
func BrokerKey(cert *x509.Certificate) ([]byte, error) {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("reading the broker's certificate: units know ECDSA keys on P-256 only; make one with " +
			"openssl ecparam -name prime256v1 -genkey")
	}
	point, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("reading the broker's certificate: %w", err)
	}
	return point, nil
}

// lines cuts the settings into objects that fit in the unit's 512 bytes.
func (s Settings) lines() []map[string]any {
	put := func(m map[string]any, key, value string) {
		if value != "" {
			m[key] = value
		}
	}
	wifi, broker := map[string]any{}, map[string]any{}
	put(wifi, "id", s.ID)
	put(wifi, "ssid", s.SSID)
	put(wifi, "wifi_password", s.WiFiPassword)
	put(wifi, "policy", s.Policy)
	if s.Index != nil {
		wifi["index"] = *s.Index
	}
	put(broker, "host", s.Host)
	put(broker, "user", s.User)
	put(broker, "password", s.Password)
	if s.Port != 0 {
		broker["port"] = s.Port
	}
	if s.Plain {
		broker["tls"] = false
	}
	all := []map[string]any{wifi, broker}
	if len(s.Keys) > 0 {
		keys := map[string]any{"tls": true, "key0": hex.EncodeToString(s.Keys[0]), "key1": ""}
		if len(s.Keys) > 1 {
			keys["key1"] = hex.EncodeToString(s.Keys[1])
		}
		all = append(all, keys)
	}
	return all
}

// Greet waits until a unit answers; opening a port restarts it, so that takes a moment.
func (c *Conn) Greet(ctx context.Context) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, greetWait)
	defer cancel()
	for {
		a, err := c.ask(ctx, "hello", nil, greetEvery)
		if err == nil {
			id := Identity{}
			id.ID, _ = a["id"].(string)
			id.MAC, _ = a["mac"].(string)
			version, _ := a["version"].(float64)
			boot, _ := a["boot"].(float64)
			id.Version, id.Boot = uint32(version), uint32(boot)
			return id, nil
		}
		if ctx.Err() != nil {
			return Identity{}, fmt.Errorf("no backplane unit answers on this port (does the cable carry data, is the firmware flashed?): %w", err)
		}
		select {
		case <-c.ended:
			return Identity{}, err
		default:
		}
	}
}

// Setup gives a unit its settings, which it keeps, and waits until it has
// connected to the broker with them. progress gets a line for people for each
// step; nil = none.
func (c *Conn) Setup(ctx context.Context, s Settings, progress func(string)) (Identity, error) {
	if progress == nil {
		progress = func(string) {}
	}
	if len(s.Keys) > 2 {
		return Identity{}, errors.New("setting up the unit: it has room for two keys of the broker")
	}
	id, err := c.Greet(ctx)
	if err != nil {
		return Identity{}, err
	}
	progress(fmt.Sprintf("found unit %s (MAC %s)", id.ID, id.MAC))
	for _, line := range s.lines() {
		if len(line) == 0 {
			continue
		}
		if _, err := c.ask(ctx, "set", line, answerWait); err != nil {
			return id, err
		}
	}
	if _, err := c.ask(ctx, "save", nil, answerWait); err != nil {
		return id, err
	}
	progress("settings saved, waiting for it to reach the broker")
	if err := c.waitConnected(ctx); err != nil {
		return id, err
	}
	return c.Greet(ctx)
}

// connectWait is enough for Wi-Fi, a TLS handshake and a few tries.
const connectWait = 60 * time.Second

func (c *Conn) waitConnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	for {
		a, err := c.ask(ctx, "status", nil, answerWait)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && a["connected"] == true {
			return nil
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ErrNotConnected
		}
	}
}
