package conductor

import (
	"crypto/rand"
	"crypto/sha512"
	"fmt"

	"github.com/go-crypt/x/crypt"
)

const (
	// The alphabet of crypt(3), in its own order.
	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// cryptRounds are those of a hash that names none.
	cryptRounds = 5000
)

// hashPassword returns the form of a password that /etc/shadow holds: SHA-512
// crypt with a new salt and the usual number of rounds. It is all that is kept.
func hashPassword(password string) (string, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	salt := make([]byte, len(raw))
	for i, b := range raw {
		salt[i] = cryptAlphabet[b&63]
	}
	return shadowEntry(password, string(salt)), nil
}

func shadowEntry(password, salt string) string {
	return "$6$" + salt + "$" + string(crypt.KeySHACrypt(sha512.New, []byte(password), []byte(salt), cryptRounds))
}
