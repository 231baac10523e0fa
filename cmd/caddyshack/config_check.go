package main

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"caddyshack/pxe"
)

// beyondLoopback tells whether HOST:PORT can be reached from other machines.
func beyondLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		return err != nil
	}
	addr, err := netip.ParseAddr(host)
	return err != nil || !addr.IsLoopback()
}

func checkListen(key, listen string) error {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return bad(key, "%q is not HOST:PORT, for example \"127.0.0.1:6385\"", listen)
	}
	return nil
}

func (c *Config) checkAPI() error {
	if !c.has(roleAPI) {
		return nil
	}
	if err := checkListen("api.listen", c.API.Listen); err != nil {
		return err
	}
	switch c.API.Auth {
	case "noauth":
		if beyondLoopback(c.API.Listen) && !c.API.Insecure {
			return bad("api.auth", "noauth on %s lets everybody on the network rule the chassis; set auth = \"http_basic\" or \"keystone\", or insecure = true if that is wanted", c.API.Listen)
		}
	case "http_basic":
		if c.API.HtpasswdFile == "" {
			return bad("api.htpasswd_file", "http_basic needs a file of users; make one with `htpasswd -B -c FILE USER`")
		}
	case "keystone":
		if err := c.API.Keystone.check(); err != nil {
			return err
		}
	default:
		return bad("api.auth", "%q is not known; use \"noauth\", \"http_basic\" or \"keystone\"", c.API.Auth)
	}
	if (c.API.TLSCert == "") != (c.API.TLSKey == "") {
		return bad("api.tls_cert", "TLS needs both tls_cert and tls_key")
	}
	if p := c.API.PublicEndpoint; p != "" {
		if u, err := url.Parse(p); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return bad("api.public_endpoint", "%q is not a URL like \"http://caddyshack:6385\"", p)
		}
	}
	for _, o := range c.API.CORSOrigins {
		u, err := url.Parse(o)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return bad("api.cors_origins", "%q is not the origin of a web site, which is http(s)://HOST[:PORT] and nothing after it, for example \"https://ui.example\"; name each one", o)
		}
	}
	return nil
}

func (c *Config) checkDatabase() error {
	if u := c.Database.URL; u != "" && !strings.HasPrefix(u, "postgres://") && !strings.HasPrefix(u, "postgresql://") {
		return bad("database.url", "%q is not a PostgreSQL URL (postgres://USER:PASSWORD@HOST/NAME); leave it out for SQLite in state_dir", redactURL(u))
	}
	switch c.Database.Synchronous {
	case "full", "normal", "off":
		return nil
	}
	return bad("database.synchronous", "%q is not known; use \"full\" (survives a power cut), \"normal\" or \"off\"", c.Database.Synchronous)
}

// redactURL hides the password of a URL that goes into a message.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable)"
	}
	return u.Redacted()
}

func (c *Config) checkBroker() error {
	if c.Broker.URL != "" {
		u, err := url.Parse(c.Broker.URL)
		if err != nil || u.Host == "" || (u.Scheme != "tcp" && u.Scheme != "ssl") {
			return bad("broker.url", "%q is not an MQTT URL like \"tcp://HOST:1883\"", redactURL(c.Broker.URL))
		}
		if c.Broker.Password == "" && beyondLoopback(u.Host) && !c.Broker.Insecure {
			return bad("broker.password", "a broker on %s that asks for no password lets everybody on the network switch every slot; set user and password, or insecure = true if that is wanted", u.Host)
		}
		return nil
	}
	if !c.has(roleBroker) {
		if c.has(roleConductor) {
			return bad("broker.url", "a conductor without the role broker needs the URL of one, for example \"tcp://HOST:1883\"")
		}
		return nil
	}
	if err := checkListen("broker.listen", c.Broker.Listen); err != nil {
		return err
	}
	if c.Broker.TLSListen != "" {
		if err := checkListen("broker.tls_listen", c.Broker.TLSListen); err != nil {
			return err
		}
		if c.Broker.TLSCert == "" || c.Broker.TLSKey == "" {
			return bad("broker.tls_cert", "TLS needs both tls_cert and tls_key; units pin a key on the curve P-256 (openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 …)")
		}
	}
	seen := map[string]bool{}
	for _, u := range c.Broker.Units {
		switch {
		case u.ID == "" || u.ID == c.Broker.User || seen[u.ID]:
			return bad("broker.units", "each unit needs an id of its own (this one: %q)", u.ID)
		case u.Password == "":
			return bad("broker.units", "unit %q has no password", u.ID)
		}
		seen[u.ID] = true
	}
	return nil
}

func (c *Config) checkBoot() error {
	if c.has(roleConductor) && !c.has(roleBoot) && c.Boot.Remote == "" {
		return bad("boot.remote", "a conductor without the role boot needs the URL of a process that has it, for example \"http://HOST:6387\"")
	}
	if (c.Boot.Remote != "" || c.Boot.Serve != "") && c.Boot.TokenFile == "" {
		return bad("boot.token_file", "must name a file with the secret that conductors and the boot service share; make one with `openssl rand -hex 32 > FILE`")
	}
	if !c.has(roleBoot) && !c.has(roleOSServer) {
		return nil
	}
	if a, err := netip.ParseAddr(c.Boot.Address); err != nil || a.IsUnspecified() {
		return bad("boot.address", "must be the address of this machine that the Pis reach, for example \"192.168.77.1\" (it is %q)", c.Boot.Address)
	}
	if c.has(roleBoot) {
		if err := checkListen("boot.tftp_listen", c.Boot.TFTPListen); err != nil {
			return err
		}
		if err := checkListen("boot.phone_home_listen", c.Boot.PhoneHomeListen); err != nil {
			return err
		}
	}
	if !c.has(roleOSServer) {
		return nil
	}
	if err := checkListen("boot.nfs_listen", c.Boot.NFSListen); err != nil {
		return err
	}
	switch c.Boot.Tree {
	case "auto", "privileged", "unprivileged":
		return c.checkNFS()
	}
	return bad("boot.tree", "%q is not known; use \"auto\", \"privileged\" or \"unprivileged\"", c.Boot.Tree)
}

// checkOSServer is about the roles boot and os-server in different processes.
func (c *Config) checkOSServer() error {
	o := &c.OSServer
	switch {
	case c.has(roleBoot) && !c.has(roleOSServer) && o.URL == "":
		return bad("os_server.url", "the role boot without os-server needs the URL of a process that has it, for example \"http://HOST:6389\"")
	case c.has(roleOSServer) && !c.has(roleBoot) && o.Listen == "":
		return bad("os_server.listen", "the role os-server without boot must be reached by a process that has it: give it an address of this machine, for example \"192.168.77.2:6389\"")
	case c.has(roleBoot) && c.has(roleOSServer) && o.URL != "":
		return bad("os_server.url", "this process has the role os-server itself; leave out the key, or the role")
	case (o.URL != "" || o.Listen != "") && o.TokenFile == "":
		return bad("os_server.token_file", "must name a file with the secret that the roles boot and os-server share; make one with `openssl rand -hex 32 > FILE`")
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return bad("os_server.tls_cert", "TLS needs both tls_cert and tls_key")
	}
	if o.Listen != "" {
		if err := checkListen("os_server.listen", o.Listen); err != nil {
			return err
		}
	}
	if o.URL == "" {
		return nil
	}
	if u, err := url.Parse(o.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return bad("os_server.url", "%q is not a URL like \"http://HOST:6389\", without a path", o.URL)
	}
	return nil
}

func (c *Config) checkDeploy() error {
	if c.Deploy.RootGB < 0 {
		return bad("deploy.root_gb", "%d is less than nothing; leave it out for no limit", c.Deploy.RootGB)
	}
	if t := c.Boot.Watchdog.Tries; t != nil && (*t < 0 || *t > mostTries) {
		return bad("boot.watchdog.tries", "%d is not between 0 (never power-cycle) and %d", *t, mostTries)
	}
	signs := pxe.Signs()
	if !slices.Contains(signs, pxe.Sign(c.Deploy.BootMark)) {
		return bad("deploy.boot_mark", "%q is not known; use %q, %q or %q", c.Deploy.BootMark, signs[0], signs[1], signs[2])
	}
	if pxe.Sign(c.Deploy.BootMark) == pxe.SignLogin && c.has(roleConductor) && !c.has(roleConsole) {
		return bad("deploy.boot_mark", "%q needs the consoles in the same process: add the role console, or use %q", pxe.SignLogin, pxe.SignHome)
	}
	return nil
}

// mostTries bounds boot.watchdog.tries: a machine that has failed so often needs a person.
const mostTries = 10

func (c *Config) checkConsole() error {
	if !c.has(roleConsole) {
		return nil
	}
	if err := checkListen("console.listen", c.Console.Listen); err != nil {
		return err
	}
	if beyondLoopback(c.Console.BindHost+":0") && !c.Console.Insecure {
		return bad("console.bind_host", "raw consoles on %s have no password; keep them on 127.0.0.1, or set insecure = true if that is wanted", c.Console.BindHost)
	}
	return nil
}

func (c *Config) checkLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return bad("log.level", "%q is not known; use debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		return bad("log.format", "%q is not known; use \"text\" or \"json\"", c.Log.Format)
	}
	return nil
}
