package images

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// maxRedirects bounds how often a server may send us elsewhere.
const maxRedirects = 5

// netPolicy decides which servers images may be fetched from. Addresses of the
// controller, of its own networks and of cloud metadata services are refused
// unless listed, at the URL, at each redirect and again when an address is
// dialled, so that a name which changes its address gains nothing.
type netPolicy struct {
	hosts    map[string]bool // "host" or "host:port", lower case
	prefixes []netip.Prefix
}

// newNetPolicy reads Config.AllowHosts.
func newNetPolicy(allow []string) (netPolicy, error) {
	p := netPolicy{hosts: map[string]bool{}}
	for _, a := range allow {
		a = strings.ToLower(strings.TrimSpace(a))
		if prefix, err := netip.ParsePrefix(a); err == nil {
			p.prefixes = append(p.prefixes, prefix.Masked())
			continue
		}
		if a == "" || strings.ContainsAny(a, "/*@ ") {
			return p, fmt.Errorf("allowed image host %q is not of the form HOST, HOST:PORT or ADDRESS/BITS", a)
		}
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = strings.Trim(a, "[]")
		}
		p.hosts[a] = true
	}
	return p, nil
}

// checkURL checks what can be known without a resolver.
func (p netPolicy) checkURL(u *url.URL) error {
	if s := strings.ToLower(u.Scheme); s != "http" && s != "https" {
		return refusef("a redirect to scheme %q is not followed", u.Scheme)
	}
	if u.User != nil {
		return refusef("image_source holds a user name or password; use a server that needs none, or a signed URL")
	}
	host := u.Hostname()
	if host == "" {
		return refusef("image_source %q names no host", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	if p.named(host, port) {
		return nil
	}
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return p.refuse(host)
	}
	if a, err := netip.ParseAddr(host); err == nil && !p.address(a) {
		return p.refuse(host)
	}
	return nil
}

func (p netPolicy) refuse(host string) error {
	return refusef("%q is a private or local address; if images may come from there, add it to the allowed image hosts in the configuration", host)
}

// named tells whether host is listed by name, with or without its port.
func (p netPolicy) named(host, port string) bool {
	host = strings.ToLower(host)
	return p.hosts[host] || p.hosts[net.JoinHostPort(host, port)]
}

// address tells whether a may be dialled for a host that is not listed by name.
func (p netPolicy) address(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	for _, prefix := range p.prefixes {
		if prefix.Contains(a) {
			return true
		}
	}
	return public(a)
}

// public tells whether a is an ordinary address of the Internet (RFC 6890).
func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		// Ways of writing an IPv4 address in IPv6, and reserved blocks.
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "fec0::/10",
	} {
		if netip.MustParsePrefix(s).Contains(a) {
			return false
		}
	}
	return true
}

// client returns an HTTP client that keeps to the policy. It uses no proxy,
// since a proxy would dial in our place.
func (p netPolicy) client(stall time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 nil,
			DialContext:           p.dial,
			DisableCompression:    true,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: stall,
			MaxIdleConnsPerHost:   1,
			IdleConnTimeout:       30 * time.Second,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return refusef("more than %d redirects", maxRedirects)
			}
			return p.checkURL(req.URL)
		},
	}
}

// dial connects to addr if the policy allows the address that it resolves to.
func (p netPolicy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 15 * time.Second}
	if !p.named(host, port) {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !p.address(ap.Addr()) {
				return p.refuse(host)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}
