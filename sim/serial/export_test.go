package serial

// Idle tells whether nobody has the terminal open.
func (l *Line) Idle() bool { return !l.pty.inUse() }

// Drained tells whether no viewer has bytes waiting.
func (l *Line) Drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for v := range l.viewers {
		v.mu.Lock()
		n := len(v.buf)
		v.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}
