package ironicapi_test

import (
	"os"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// bcryptOf is what htpasswd -B writes.
func bcryptOf(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return hash4 + string(h[len(hash4):])
}
