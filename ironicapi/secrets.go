package ironicapi

import (
	"fmt"
	"strings"

	"caddyshack/baremetal"
)

// masked stands in every reply for a value that must not be shown.
const masked = "******"

// secretWords are the parts of a key, in lower case, that make its value a secret.
var secretWords = []string{
	"pass", "secret", "token", "credential", "pswd", "private_key", "privatekey", "sslkey", "encrypted_key", "fernetkey",
	"auth_key", "priv_key", "hex_kg_key", "ssh_key", "access_key", "api_key", "apikey", "community", "configdrive", "image_url",
}

// secretsByLetter holds the words by their first letter, to look at a key in one pass.
var secretsByLetter = func() (by [256][]string) {
	for _, w := range secretWords {
		by[w[0]] = append(by[w[0]], w)
	}
	return by
}()

// secretKey tells whether the value under key is a secret.
func secretKey(key string) bool {
	for i := range len(key) {
		ch := key[i]
		if 'A' <= ch && ch <= 'Z' {
			ch |= 0x20
		}
		for _, w := range secretsByLetter[ch] {
			if len(key)-i >= len(w) && strings.EqualFold(key[i:i+len(w)], w) {
				return true
			}
		}
	}
	return false
}

// mayHoldSecret tells from the text alone that an object has no secret, which
// is the case for nearly all of them: it looks at the keys only, and at what is
// written with escapes as if it were one.
func mayHoldSecret(text string) bool {
	for {
		open := strings.IndexByte(text, '"')
		if open < 0 {
			return false
		}
		text = text[open+1:]
		end := strings.IndexByte(text, '"')
		if end < 0 {
			return false
		}
		if end > 0 && text[end-1] == '\\' { // an escaped quote, or an escaped backslash before the end
			return mayHoldSecretSlow(text)
		}
		word, rest := text[:end], text[end+1:]
		if strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ":") && (strings.IndexByte(word, '\\') >= 0 || secretKey(word)) {
			return true
		}
		text = rest
	}
}

// mayHoldSecretSlow looks for the words anywhere.
func mayHoldSecretSlow(text string) bool {
	return secretKey(text) || strings.Contains(text, `\u`)
}

// appendMasked appends an object's text with the secrets in it replaced.
func appendMasked(b []byte, o baremetal.Object) []byte {
	text := o.Text()
	if !mayHoldSecret(text) {
		return append(b, text...)
	}
	if out, ok := appendMaskedText(b, text); ok {
		return out
	}
	m := o.Map()
	mask(m)
	out, err := appendValue(b, m)
	if err != nil { // cannot happen: it was decoded from JSON
		return append(b, "{}"...)
	}
	return out
}

// mask replaces the secrets in a decoded value, in place.
func mask(v any) {
	switch x := v.(type) {
	case map[string]any:
		for k, inner := range x {
			if secretKey(k) && inner != nil {
				if _, nested := inner.(map[string]any); !nested || strings.Contains(strings.ToLower(k), "configdrive") {
					x[k] = masked
					continue
				}
			}
			mask(inner)
		}
	case []any:
		for _, inner := range x {
			mask(inner)
		}
	}
}

// unmask puts the stored secrets back where their mask was sent. A mask with
// nothing behind it is refused: it would be stored as if it were the secret.
func unmask(sent, stored any) error {
	switch x := sent.(type) {
	case map[string]any:
		old, _ := stored.(map[string]any)
		for k, v := range x {
			if v != masked || !secretKey(k) {
				if err := unmask(v, old[k]); err != nil {
					return err
				}
				continue
			}
			if old[k] == nil {
				return schemaError(fmt.Sprintf("'%s' in %s stands for a stored secret, and none is stored there", masked, k))
			}
			x[k] = old[k]
		}
	case []any:
		old, _ := stored.([]any)
		for i, v := range x {
			var o any
			if i < len(old) {
				o = old[i]
			}
			if err := unmask(v, o); err != nil {
				return err
			}
		}
	}
	return nil
}
