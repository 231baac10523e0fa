package ironicapi

import "strings"

// appendMaskedText does what mask does on the text of an object as it is
// stored (compact JSON), without decoding it. ok is false, and b as it was, if
// a key is written with escapes or the text is not understood.
func appendMaskedText(b []byte, text string) (_ []byte, ok bool) {
	start := len(b)
	copied := 0 // text before it has been appended
	for at := 0; at < len(text); {
		if text[at] != '"' {
			at++
			continue
		}
		end := stringEnd(text, at)
		if end < 0 {
			return b[:start], false
		}
		key := text[at+1 : end-1]
		at = end
		if at == len(text) || text[at] != ':' { // a value, not a key
			continue
		}
		at++
		if strings.IndexByte(key, '\\') >= 0 || at == len(text) {
			return b[:start], false
		}
		if !secretKey(key) || text[at] == 'n' || text[at] == '{' && !strings.Contains(strings.ToLower(key), "configdrive") {
			continue // null is no secret, and an object is masked within
		}
		if end = valueEnd(text, at); end < 0 {
			return b[:start], false
		}
		b = append(b, text[copied:at]...)
		b = append(b, '"')
		b = append(b, masked...)
		b = append(b, '"')
		at, copied = end, end
	}
	return append(b, text[copied:]...), true
}

// stringEnd returns where the string that begins at text[at] has ended, -1 if it does not.
func stringEnd(text string, at int) int {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return -1
}

// valueEnd returns where the value that begins at text[at] has ended, -1 if it does not.
func valueEnd(text string, at int) int {
	depth := 0
	for at < len(text) {
		switch text[at] {
		case '"':
			if at = stringEnd(text, at); at < 0 {
				return -1
			}
			if depth == 0 {
				return at
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // the end of what holds a number or a word
				return at
			}
			if depth--; depth == 0 {
				return at + 1
			}
		case ',':
			if depth == 0 {
				return at
			}
		}
		at++
	}
	return -1
}
