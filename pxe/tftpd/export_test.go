package tftpd

// ParseForTest checks a request packet, and returns the name asked for and the
// packet that the library is given for it.
func ParseForTest(p []byte) (name string, packet []byte, ok bool) {
	rq, bad := parseRequest(p)
	if bad != nil {
		return "", nil, false
	}
	return rq.name, rq.append(nil, rq.name), true
}
