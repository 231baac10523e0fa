package console

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
)

// token is the secret of one web console: 256 random bits in 43 characters
// that are safe in a URL and in a header.
//
// Ironic shows console_info as often as it is asked for, and people keep the
// page open for days, so a token is not used up by its first use: it is valid
// while the console is enabled, and disabling and enabling it again makes a new
// one. What a short life would guard against is kept from happening instead:
// the token travels in the fragment of the URL, which browsers send neither to
// servers nor in Referer, so it is in no access log; the page takes it out of
// the address bar at once and keeps it in sessionStorage, which belongs to one
// tab and one origin (a cookie would be sent to every port of the host); and
// it opens one node's console, nothing else.
type token string

func newToken() token {
	var b [32]byte
	// rand.Read never fails; the program would have ended.
	_, _ = rand.Read(b[:])
	return token(base64.RawURLEncoding.EncodeToString(b[:]))
}

// matches compares in constant time. The empty token matches nothing.
func (t token) matches(given string) bool {
	return t != "" && subtle.ConstantTimeCompare([]byte(t), []byte(given)) == 1
}

// LogValue keeps tokens out of logs.
func (t token) LogValue() slog.Value { return slog.StringValue("******") }
