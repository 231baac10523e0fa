package main

import (
	"crypto/sha512"
	"crypto/subtle"
	"os"
	"strings"

	"github.com/go-crypt/x/crypt"
)

// cryptRounds are those of a hash that names none.
const cryptRounds = 5000

// shadowFile holds the password of a rescue system's user; other systems have
// none.
const shadowFile = "/etc/shadow"

// isPassword tells whether a user of the file has the password. Only SHA-512
// crypt with its default number of rounds is known, which is what Caddyshack writes.
func isPassword(path, user string, password []byte) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		hash, _, _ := strings.Cut(rest, ":")
		method, rest, _ := strings.Cut(strings.TrimPrefix(hash, "$"), "$")
		salt, sum, ok := strings.Cut(rest, "$")
		if name != user || method != "6" || !ok || salt == "" || strings.HasPrefix(salt, "rounds=") {
			continue
		}
		return subtle.ConstantTimeCompare(crypt.KeySHACrypt(sha512.New, password, []byte(salt), cryptRounds), []byte(sum)) == 1
	}
	return false
}
