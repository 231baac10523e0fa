package paths

import "io"

// tarBlock is the unit of a tar archive in bytes. An archive ends with blocks
// of zeros, which package tar does not ask for.
const tarBlock = 512

// tailReader remembers how much was read and how many zeros it ended with.
type tailReader struct {
	r            io.Reader
	total, zeros int64
}

func (t *tailReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.total += int64(n)
	i := n
	for i > 0 && p[i-1] == 0 {
		i--
	}
	if i > 0 {
		t.zeros = 0
	}
	t.zeros += int64(n - i)
	return n, err
}

// whole reports whether what was read ends as an archive does.
func (t *tailReader) whole() bool { return t.total%tarBlock == 0 && t.zeros >= tarBlock }
