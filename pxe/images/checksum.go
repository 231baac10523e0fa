package images

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// digest is a checked Checksum: algorithm and lower-case hexadecimal value.
type digest struct{ algo, hex string }

func (d digest) String() string { return d.algo + ":" + d.hex }

// file is the name of the image in the cache.
func (d digest) file() string { return d.algo + "-" + d.hex }

func newHash(algo string) hash.Hash {
	if algo == "sha512" {
		return sha512.New()
	}
	return sha256.New()
}

// parseChecksum checks c. It returns the zero digest if c is empty.
func parseChecksum(c Checksum) (digest, error) {
	algo := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(c.Algo), "-", ""))
	value := strings.TrimSpace(c.Value)
	if value == "" {
		if algo != "" {
			return digest{}, refusef("checksum algorithm %q is given without a value; set image_os_hash_value", c.Algo)
		}
		return digest{}, nil
	}
	if strings.Contains(value, "://") {
		return digest{}, refusef("the checksum is a URL (%q); give the checksum itself in image_checksum", value)
	}
	if prefix, rest, ok := strings.Cut(value, ":"); ok {
		prefix = strings.ToLower(prefix)
		if algo != "" && algo != prefix {
			return digest{}, refusef("checksum algorithm %q does not fit the value %q", c.Algo, value)
		}
		algo, value = prefix, rest
	}
	value = strings.ToLower(value)
	if _, err := hex.DecodeString(value); err != nil {
		return digest{}, refusef("checksum %q is not hexadecimal; give the output of sha256sum", c.Value)
	}
	if algo == "" {
		algo = map[int]string{32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}[len(value)]
	}
	var want int
	switch algo {
	case "sha256":
		want = hex.EncodedLen(sha256.Size)
	case "sha512":
		want = hex.EncodedLen(sha512.Size)
	case "md5", "sha1":
		return digest{}, refusef("checksum algorithm %s can be forged; give a sha256 or sha512 (sha256sum IMAGE)", algo)
	default:
		return digest{}, refusef("checksum %q has an unknown algorithm or length; give a sha256 (64 digits) or a sha512 (128 digits)", c.Value)
	}
	if len(value) != want {
		return digest{}, refusef("checksum %q has %d digits, %s has %d", c.Value, len(value), algo, want)
	}
	return digest{algo, value}, nil
}
