package console

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestInert(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"text":              {"Grüße, 日本, 🎉\r\n\tx\b\a", "Grüße, 日本, 🎉\r\n\tx\b\a"},
		"colours":           {"\x1b[1;38;5;208mx\x1b[0m\x1b[38:2::1:2:3m", "\x1b[1;38;5;208mx\x1b[0m\x1b[38:2::1:2:3m"},
		"full screen":       {"\x1b[?1049h\x1b[2J\x1b[3;4H\x1b[?25l\x1b7\x1b8\x1b(B\x1b[2 q\x1b[!p", "\x1b[?1049h\x1b[2J\x1b[3;4H\x1b[?25l\x1b7\x1b8\x1b(B\x1b[2 q\x1b[!p"},
		"title":             {"a\x1b]0;evil\ab", "ab"},
		"title, ST":         {"a\x1b]2;evil\x1b\\b", "ab"},
		"clipboard":         {"a\x1b]52;c;ZXZpbA==\ab", "ab"},
		"link":              {"\x1b]8;;http://evil\x1b\\x\x1b]8;;\x1b\\", "x"},
		"DECRQSS":           {"a\x1bP$qm\x1b\\b", "ab"},
		"APC, PM, SOS":      {"\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\end", "end"},
		"cursor position":   {"a\x1b[6nb\x1b[?6nc", "abc"},
		"attributes":        {"a\x1b[c\x1b[>c\x1b[=c\x1b[>q\x1bZb", "ab"},
		"window":            {"a\x1b[21t\x1b[14tb", "ab"},
		"mode query":        {"a\x1b[?1$pb\x1b[4$p", "ab"},
		"checksum, print":   {"a\x1b[1;1;1;1;1;1*y\x1b[5i\x1b[?5ib", "ab"},
		"key modes":         {"a\x1b[>4;1m\x1b[=1;1u\x1b[?ub", "ab"},
		"answerback":        {"a\x05b", "ab"},
		"C1 as UTF-8":       {"a\u009d0;evil\u009c\u009b6nb", "a0;evil6nb"},
		"C1 as bytes":       {"a\x9b6n\x90b", "a?6n?b"},
		"C1 in a character": {"a\xe2\x9b\x94b", "a⛔b"},
		"cut character":     {"a\xe2\x9b\x1b[6nb", "ab"},
		"cut, then text":    {"a\xe2xb", "axb"},
		"overlong":          {"a\xc0\x9bb", "a??b"},
		"endless string":    {"a\x1b]0;noise\r\nlogin:", "a\r\nlogin:"},
		"string, sequence":  {"a\x1b]0;x\x1b[31mb", "a\x1b[31mb"},
		"cancelled":         {"a\x1b[3\x1ab\x1b]0\x18c", "abc"},
		"escape escape":     {"a\x1b\x1b[31mb", "a\x1b[31mb"},
		"control inside":    {"\x1b[3\r\n1mb", "\r\n\x1b[31mb"},
		"too long":          {"a\x1b[" + strings.Repeat("1;", 100) + "mb", "ab"},
		"too long, charset": {"a\x1b" + strings.Repeat("(", 100) + "Bb", "ab"},
	} {
		for _, size := range []int{len(c.in), 1, 3} {
			var out bytes.Buffer
			w := Inert(&out)
			for rest := []byte(c.in); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				if n, err := w.Write(rest[:min(size, len(rest))]); err != nil || n != min(size, len(rest)) {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			if out.String() != c.want {
				t.Errorf("%s, in pieces of %d: %q, want %q", name, size, out.String(), c.want)
			}
		}
	}
}

// Whatever goes in, only sequences of the harmless shapes come out.
func TestInertOutput(t *testing.T) {
	t.Parallel()
	known := regexp.MustCompile("\x1b(\\[[0-9:;]*[@A-MPSTXZ`abd-hlmrsu]|\\[\\?[0-9:;?]*[hlJKrs]|\\[[0-9]* q|\\[!p|[ -/]+[0-~]|[78=>DEHMc])")
	c1 := regexp.MustCompile("[\u0080-\u009f]")
	pieces := []string{"\x1b", "[", "]", "P", "\\", "\a", "6", "n", "c", "m", "?", ">", "$", "q", ";", "(", "\r\n", "\x9d", "\xc2", "\u009b", "é", "\x18"}
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(pieces), rapid.String())).Draw(t, "in"), "")
		var out bytes.Buffer
		w := Inert(&out)
		for rest := []byte(in); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if left := known.ReplaceAllString(out.String(), ""); strings.ContainsAny(left, "\x1b\x05") || c1.MatchString(left) {
			t.Fatalf("%q became %q", in, out.String())
		}
	})
}
