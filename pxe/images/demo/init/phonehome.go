package main

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// phoneHomeFile has the URL that is asked for once the system is up.
	phoneHomeFile = "/etc/caddyshack-phone-home"
	// The network may still be coming up, and the service may be restarting.
	phoneHomeTries = 10
	phoneHomePause = 3 * time.Second
	phoneHomeTime  = 10 * time.Second // for each try
)

// phoneHome tells whoever made this root that its system is up. A root without
// the file has nobody to tell.
func phoneHome(file string, pause time.Duration) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	to, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil || to.Scheme != "http" || to.Host == "" {
		return fmt.Errorf("%s holds no URL like http://HOST:PORT/PATH", file)
	}
	for range phoneHomeTries {
		if err = post(to); err == nil {
			return nil
		}
		time.Sleep(pause)
	}
	return err
}

// post sends an empty POST. A client of a hundred lines less than net/http's
// makes the image megabytes smaller.
func post(to *url.URL) error {
	addr := to.Host
	if to.Port() == "" {
		addr = net.JoinHostPort(to.Hostname(), "80")
	}
	c, err := net.DialTimeout("tcp", addr, phoneHomeTime) //nolint:noctx // it has its time and cannot be called off
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the answer was read or there is an error
	if err := c.SetDeadline(time.Now().Add(phoneHomeTime)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.0\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", to.RequestURI(), to.Host); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if f := strings.Fields(line); len(f) < 2 || f[1] != "200" {
		return fmt.Errorf("%s answered %q", to.Host, strings.TrimSpace(line))
	}
	return nil
}
