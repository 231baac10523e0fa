package tftpd

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxName is the longest file name that is looked up, in bytes. A Pi's names
// are far shorter: its prefix has at most 32 bytes, and the longest overlay
// names are about 40.
const MaxName = 255

var (
	errNameEmpty   = errors.New("file name is empty")
	errNameLong    = errors.New("file name is too long")
	errNameChar    = errors.New("file name has a character that is not allowed")
	errNameOutside = errors.New(`file name has a ".." part`)
)

// CleanName returns the form of a requested file name in which it is looked
// up: relative, parts separated by single slashes, without "." parts. A name
// that is too long or holds "..", a backslash, a control character or invalid
// UTF-8 is refused rather than mended, since no Pi sends one.
func CleanName(raw string) (string, error) {
	if len(raw) > MaxName {
		return "", errNameLong
	}
	if !utf8.ValidString(raw) {
		return "", errNameChar
	}
	for _, r := range raw {
		if r < ' ' || r == 0x7f || r == '\\' {
			return "", errNameChar
		}
	}
	parts := make([]string, 0, 4)
	for part := range strings.SplitSeq(raw, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", errNameOutside
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return "", errNameEmpty
	}
	return strings.Join(parts, "/"), nil
}
