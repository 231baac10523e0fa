package pi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	phoneHomeFile  = "/etc/caddyshack-phone-home"
	phoneHomeTries = 5
	phoneHomePause = time.Second
)

// phoneHome does what systems do that were told whom to tell that they are up:
// it asks for the URL in its root, from the Pi's own address.
func (s *system) phoneHome(ctx context.Context) {
	text, err := s.fs.ReadFile(ctx, phoneHomeFile, textLimit)
	if err != nil {
		return // nobody to tell
	}
	for try := 1; ctx.Err() == nil; try++ {
		err := inside(s.pi.cfg.DHCP, func() error { return s.post(ctx, strings.TrimSpace(string(text))) })
		if err == nil || ctx.Err() != nil {
			return
		}
		if try == phoneHomeTries {
			s.out.printf("phone-home: %v", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(phoneHomePause):
		}
	}
}

func (s *system) post(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	local := &net.TCPAddr{IP: s.lease.address.AsSlice()}
	conn := &http.Transport{DialContext: (&net.Dialer{LocalAddr: local}).DialContext, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: conn}).Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // nothing of it is read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}
