package console

import (
	"io"
	"strings"
)

// Inert returns a writer that passes terminal output on to w without what
// could do more than display: strings to the terminal (title, clipboard,
// links, downloads: OSC, DCS, APC, PM, SOS), and questions that the terminal
// would answer by typing into the node's shell. Control sequences are passed
// by a list of those known to be harmless. Sequences may be split over writes.
func Inert(w io.Writer) io.Writer { return &inert{w: w} }

// maxSequence bounds a control sequence; longer ones are dropped.
const maxSequence = 64

type inertState int

const (
	inGround    inertState = iota
	inEscape               // after ESC
	inCharset              // ESC and an intermediate byte
	inSequence             // CSI: ESC [
	inString               // OSC and its like
	inStringEsc            // ESC within a string
)

type inert struct {
	w     io.Writer
	state inertState
	seq   []byte // the escape sequence so far
	char  []byte // the UTF-8 character so far
	want  int    // bytes still missing of char
	out   []byte
}

func (f *inert) Write(p []byte) (int, error) {
	f.out = f.out[:0]
	for _, b := range p {
		f.step(b)
	}
	if len(f.out) == 0 {
		return len(p), nil
	}
	if _, err := f.w.Write(f.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *inert) step(b byte) {
	switch {
	case b == 0x18 || b == 0x1a: // CAN and SUB end any sequence
		f.state, f.want = inGround, 0
		return
	case b == 0x1b && f.state == inString:
		f.state = inStringEsc
		return
	case b == 0x1b:
		f.state, f.want = inEscape, 0
		f.seq = append(f.seq[:0], b)
		return
	}
	switch f.state {
	case inGround:
		f.ground(b)
	case inEscape:
		f.afterEscape(b)
	case inCharset:
		f.charset(b)
	case inSequence:
		f.control(b)
	case inString, inStringEsc:
		f.inString(b)
	}
}

// ground passes text. C1 controls, which some terminals take for ESC and a
// letter, are dropped as UTF-8 and replaced as raw bytes.
func (f *inert) ground(b byte) {
	if f.want > 0 {
		if b&0xc0 == 0x80 {
			f.char = append(f.char, b)
			if f.want--; f.want == 0 && (f.char[0] != 0xc2 || f.char[1] >= 0xa0) {
				f.out = append(f.out, f.char...)
			}
			return
		}
		f.want = 0 // cut short; b begins something new
	}
	switch {
	case b >= 0xc2 && b <= 0xdf:
		f.char, f.want = append(f.char[:0], b), 1
	case b >= 0xe0 && b <= 0xef:
		f.char, f.want = append(f.char[:0], b), 2
	case b >= 0xf0 && b <= 0xf4:
		f.char, f.want = append(f.char[:0], b), 3
	case b >= 0x80: // not UTF-8; line noise, or a raw C1 control
		f.out = append(f.out, '?')
	case b == 0x05: // ENQ asks for the terminal's answerback
	default:
		f.out = append(f.out, b)
	}
}

func (f *inert) afterEscape(b byte) {
	switch {
	case b == '[':
		f.seq = append(f.seq, b)
		f.state = inSequence
	case strings.IndexByte("]PX^_", b) >= 0:
		f.state = inString
	case b >= 0x20 && b < 0x30:
		f.seq = append(f.seq, b)
		f.state = inCharset
	case strings.IndexByte("78=>DEHMc", b) >= 0:
		f.seq = append(f.seq, b)
		f.finish(true)
	case b < 0x20:
		f.state = inGround
		f.ground(b)
	default:
		f.state = inGround
	}
}

// charset collects ESC ( B and its like.
func (f *inert) charset(b byte) {
	if b < 0x20 {
		f.ground(b) // terminals carry out control characters at once
		return
	}
	f.seq = append(f.seq, b)
	if b >= 0x30 {
		f.finish(b < 0x7f && len(f.seq) <= maxSequence)
	}
}

// control collects a control sequence and judges it at its final byte.
func (f *inert) control(b byte) {
	switch {
	case b < 0x20:
		f.ground(b)
		return
	case b >= 0x7f:
		f.state = inGround
		return
	}
	if len(f.seq) <= maxSequence {
		f.seq = append(f.seq, b)
	}
	if b >= 0x40 {
		f.finish(len(f.seq) <= maxSequence && harmless(string(f.seq[2:])))
	}
}

// harmless tells whether a control sequence (without its ESC [) only moves,
// erases, colours or switches modes.
func harmless(seq string) bool {
	params, final := seq[:len(seq)-1], seq[len(seq)-1:]
	switch {
	case strings.ContainsAny(params, "<=>"): // private questions and key modes
		return false
	case strings.HasPrefix(params, "?"):
		return strings.Contains("hlJKrs", final) && !strings.ContainsAny(params, " !\"#$%&'()*+,-./")
	case strings.HasSuffix(params, " "):
		return final == "q" // the cursor's shape
	case params == "!":
		return final == "p" // soft reset
	case strings.ContainsAny(params, " !\"#$%&'()*+,-./"):
		return false
	}
	return strings.Contains("@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu", final)
}

func (f *inert) finish(pass bool) {
	if pass {
		f.out = append(f.out, f.seq...)
	}
	f.state = inGround
}

// inString drops a string up to its end: BEL, ESC \, or, since line noise can
// begin a string that never ends, the end of the line.
func (f *inert) inString(b byte) {
	switch {
	case f.state == inStringEsc && b != '\\':
		f.state = inEscape
		f.seq = append(f.seq[:0], 0x1b)
		f.afterEscape(b)
	case f.state == inStringEsc || b == 0x07:
		f.state = inGround
	case b == '\n' || b == '\r':
		f.state = inGround
		f.ground(b)
	}
}
