package console

import (
	"testing"

	"pgregory.net/rapid"
)

// The ring agrees with a plain slice of everything that was ever written.
func TestRingKeepsTheLastBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 9000).Draw(t, "limit")
		r := newRing(limit)
		var all []byte
		pos := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "write") {
				p := make([]byte, rapid.IntRange(0, 6000).Draw(t, "n"))
				for i := range p {
					p[i] = byte(len(all) + i + (len(all)+i)/251)
				}
				r.write(p)
				all = append(all, p...)
				continue
			}
			dst := make([]byte, rapid.IntRange(1, 5000).Draw(t, "room"))
			n, next, missed, more := r.read(pos, dst)
			if pos+missed+int64(n) != next {
				t.Fatalf("read at %d: %d missed and %d bytes do not lead to %d", pos, missed, n, next)
			}
			if oldest := int64(max(0, len(all)-limit)); missed != max(0, oldest-pos) {
				t.Fatalf("read at %d missed %d with oldest %d", pos, missed, oldest)
			}
			if got, want := string(dst[:n]), string(all[next-int64(n):next]); got != want {
				t.Fatalf("read at %d: got %q, want %q", pos, got, want)
			}
			if (n == 0) != (more != nil) || n == 0 && next != int64(len(all)) {
				t.Fatalf("read at %d: nothing, though there is more", pos)
			}
			pos = next
		}
	})
}

func TestRingGrowsOnlyAsNeeded(t *testing.T) {
	t.Parallel()
	r := newRing(256 << 10)
	if len(r.buf) != 0 {
		t.Fatalf("an unused ring holds %d bytes", len(r.buf))
	}
	r.write([]byte("hello"))
	if len(r.buf) != ringStart {
		t.Fatalf("a nearly empty ring holds %d bytes, want %d", len(r.buf), ringStart)
	}
	for range 1000 {
		r.write(make([]byte, 1000))
	}
	if len(r.buf) != r.limit {
		t.Fatalf("a full ring holds %d bytes, want %d", len(r.buf), r.limit)
	}
}

func TestRingHeadIsAWholeLine(t *testing.T) {
	t.Parallel()
	r := newRing(12)
	r.write([]byte("one\ntwo"))
	if got := r.head(); got != 0 {
		t.Errorf("head of a ring that lost nothing: %d", got)
	}
	r.write([]byte("\nthree\nfour"))
	buf := make([]byte, 20)
	n, _, missed, _ := r.read(r.head(), buf)
	if got := string(buf[:n]); got != "three\nfour" || missed != 0 {
		t.Errorf("from the head: %q, %d missed", got, missed)
	}
}
