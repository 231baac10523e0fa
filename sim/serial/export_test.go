package serial

// Idle tells whether nobody has the terminal open.
func (l *Line) Idle() bool { return !l.pty.inUse() }
