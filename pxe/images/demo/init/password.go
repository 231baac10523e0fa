package main

import (
	"crypto/sha512"
	"crypto/subtle"
	"os"
	"strings"
)

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
		return subtle.ConstantTimeCompare([]byte(sha512Crypt(password, []byte(salt))), []byte(sum)) == 1
	}
	return false
}

// The alphabet of crypt(3), in its own order.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// sha512Crypt is the algorithm of "Unix crypt using SHA-256 and SHA-512"
// (Drepper, 2008), with its default number of rounds; comments name its steps.
// The conductor has it as well: this program shares no module with it.
func sha512Crypt(password, salt []byte) string {
	const rounds = 5000
	b := sha512.New() // 4–8
	b.Write(password)
	b.Write(salt)
	b.Write(password)
	alternate := b.Sum(nil)

	a := sha512.New() // 1–3
	a.Write(password)
	a.Write(salt)
	a.Write(repeated(alternate, len(password))) // 9–10
	for n := len(password); n > 0; n >>= 1 {    // 11
		if n&1 != 0 {
			a.Write(alternate)
		} else {
			a.Write(password)
		}
	}
	sum := a.Sum(nil) // 12

	dp := sha512.New() // 13–16
	for range password {
		dp.Write(password)
	}
	p := repeated(dp.Sum(nil), len(password))

	ds := sha512.New() // 17–20
	for range 16 + int(sum[0]) {
		ds.Write(salt)
	}
	s := repeated(ds.Sum(nil), len(salt))

	for i := range rounds { // 21
		c := sha512.New()
		if i&1 != 0 {
			c.Write(p)
		} else {
			c.Write(sum)
		}
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		if i&1 != 0 {
			c.Write(sum)
		} else {
			c.Write(p)
		}
		sum = c.Sum(nil)
	}

	out := make([]byte, 0, 86) // 22e: groups of three bytes, in a rotating order
	group := func(b2, b1, b0 byte, chars int) {
		for v := uint(b2)<<16 | uint(b1)<<8 | uint(b0); chars > 0; chars-- {
			out = append(out, cryptAlphabet[v&63])
			v >>= 6
		}
	}
	x, y, z := 0, 21, 42
	for range 21 {
		group(sum[x], sum[y], sum[z], 4)
		x, y, z = y+1, z+1, x+1
	}
	group(0, 0, sum[63], 2)
	return string(out)
}

// repeated is block, over and over, cut to length.
func repeated(block []byte, length int) []byte {
	out := make([]byte, 0, length+len(block))
	for len(out) < length {
		out = append(out, block...)
	}
	return out[:length]
}
