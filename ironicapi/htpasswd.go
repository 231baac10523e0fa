package ironicapi

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxBcryptCost bounds how long one check of a password takes: each step doubles
// it, and 14 is about a second on a small machine.
const maxBcryptCost = 14

// users maps names to bcrypt hashes.
type users map[string][]byte

// readUsers reads an Apache password file. Only bcrypt entries are accepted
// (`htpasswd -B`); the error names the line and what to do.
func readUsers(r io.Reader) (users, error) {
	all := users{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d: it must be NAME:HASH", n)
		}
		if all[name] != nil {
			return nil, fmt.Errorf("line %d: the user %q is there twice", n, name)
		}
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: the password of user %q is not a bcrypt hash; set it with htpasswd -B", n, name)
		case cost > maxBcryptCost:
			return nil, fmt.Errorf("line %d: the password hash of user %q has cost %d, which takes too long to check; use %d at most (htpasswd -B -C %d)",
				n, name, cost, maxBcryptCost, maxBcryptCost)
		}
		all[name] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no user in it; add one with htpasswd -B")
	}
	return all, nil
}

// readUserFile reads the users of a password file.
func readUserFile(path string) (users, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading password file: %w; `htpasswd -B -c %s USER` makes one", err, path)
	}
	defer f.Close() //nolint:errcheck // it was only read
	all, err := readUsers(f)
	if err != nil {
		return nil, fmt.Errorf("reading password file %q: %w", path, err)
	}
	return all, nil
}

// highestCost is the cost that a check for an unknown user must take, to look
// like one for a known user.
func (u users) highestCost() int {
	highest := bcrypt.MinCost
	for _, hash := range u {
		if cost, err := bcrypt.Cost(hash); err == nil {
			highest = max(highest, cost)
		}
	}
	return highest
}
