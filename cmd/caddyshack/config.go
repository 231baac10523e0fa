package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"caddyshack/drivers/fake"
	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
)

// Config is the configuration file of `caddyshack serve`. The zero value of
// each key means what the example file says of it.
type Config struct {
	StateDir       string   `toml:"state_dir"`
	Roles          []string `toml:"roles"`
	Host           string   `toml:"host"`
	ConductorGroup string   `toml:"conductor_group"`
	Place          string   `toml:"place"`
	HardwareTypes  []string `toml:"hardware_types"`

	API      APIConfig      `toml:"api"`
	Database DatabaseConfig `toml:"database"`
	Broker   BrokerConfig   `toml:"broker"`
	Boot     BootConfig     `toml:"boot"`
	OSServer OSServerConfig `toml:"os_server"`
	DHCP     DHCPConfig     `toml:"dhcp"`
	Images   ImagesConfig   `toml:"images"`
	Console  ConsoleConfig  `toml:"console"`
	Deploy   DeployConfig   `toml:"deploy"`
	Enroll   EnrollConfig   `toml:"enroll"`
	Log      LogConfig      `toml:"log"`

	Networks []NetworkConfig `toml:"networks"`
	Switches []SwitchConfig  `toml:"switches"`
}

// APIConfig is how the Ironic API is served.
type APIConfig struct {
	Listen         string `toml:"listen"`
	PublicEndpoint string `toml:"public_endpoint"`
	Auth           string `toml:"auth"`
	HtpasswdFile   string `toml:"htpasswd_file"`
	Insecure       bool   `toml:"insecure"`
	TLSCert        string `toml:"tls_cert"`
	TLSKey         string `toml:"tls_key"`
	// CORSOrigins are the web sites whose pages may use the API; empty = none.
	CORSOrigins []string `toml:"cors_origins"`
	// EnableAgents is Ironic's enable_ramdisk_endpoints; nil = true.
	EnableAgents *bool `toml:"enable_ramdisk_endpoints"`

	Keystone KeystoneConfig `toml:"keystone"`
}

// KeystoneConfig is the Identity service that knows who sends a request.
type KeystoneConfig struct {
	OsloFile           string   `toml:"oslo_file"`
	AuthURL            string   `toml:"auth_url"`
	Username           string   `toml:"username"`
	Password           string   `toml:"password"`
	UserDomainName     string   `toml:"user_domain_name"`
	ProjectName        string   `toml:"project_name"`
	ProjectDomainName  string   `toml:"project_domain_name"`
	SystemScope        string   `toml:"system_scope"`
	WWWAuthenticateURI string   `toml:"www_authenticate_uri"`
	CAFile             string   `toml:"cafile"`
	Insecure           bool     `toml:"insecure"`
	TokenCacheTime     Duration `toml:"token_cache_time"`
	ElevateService     bool     `toml:"rbac_service_role_elevated_access"`
	ServiceProject     string   `toml:"rbac_service_project_name"`
	AdminProjects      []string `toml:"admin_projects"`
}

// DatabaseConfig says where the rows are kept.
type DatabaseConfig struct {
	URL         string `toml:"url"`
	Synchronous string `toml:"synchronous"`
}

// BrokerConfig is the MQTT broker: the embedded one (Listen) or another (URL).
type BrokerConfig struct {
	URL      string       `toml:"url"`
	Listen   string       `toml:"listen"`
	Insecure bool         `toml:"insecure"`
	User     string       `toml:"user"`
	Password string       `toml:"password"`
	Units    []UnitConfig `toml:"units"`
	// TLSListen is for the units, which pin the key of TLSCert.
	TLSListen string `toml:"tls_listen"`
	TLSCert   string `toml:"tls_cert"`
	TLSKey    string `toml:"tls_key"`
}

// UnitConfig is the account of one backplane unit on the embedded broker.
type UnitConfig struct {
	ID       string `toml:"id"`
	Password string `toml:"password"`
}

// BootConfig is what Pis boot from.
type BootConfig struct {
	Address    string `toml:"address"`
	TFTPListen string `toml:"tftp_listen"`
	NFSListen  string `toml:"nfs_listen"`
	Tree       string `toml:"tree"`
	Durability string `toml:"durability"`
	// PhoneHomeListen is where systems tell that they are up.
	PhoneHomeListen string `toml:"phone_home_listen"`
	// Who serves the roots; the rest is about servers other than the embedded.
	NFSServer      string `toml:"nfs_server"`
	NFSMountPort   uint16 `toml:"nfs_mount_port"`
	NFSExportsFile string `toml:"nfs_exports_file"`
	NFSPIDFile     string `toml:"nfs_pid_file"`
	// Bootcode is the boot loader that a Pi 3 gets whose serial number is not
	// known; "" = the first of bootcodes that is there, if any.
	Bootcode string `toml:"bootcode"`
	// Remote and Token: the boot service of another process, for roles without boot.
	Remote string `toml:"remote"`
	// Serve is where this process offers its boot service to other conductors.
	Serve     string `toml:"serve"`
	TokenFile string `toml:"token_file"`

	Watchdog WatchdogConfig `toml:"watchdog"`
}

// WatchdogConfig says when a boot counts as standing still, and what is done then.
type WatchdogConfig struct {
	// Tries is how often a machine that is waited for is power-cycled; nil = 2.
	Tries *int `toml:"tries"`
	// CycleSilent power-cycles active nodes that were never heard; nil = true.
	CycleSilent *bool `toml:"cycle_silent"`
	// The deadlines of the points of a boot.
	Power    Duration `toml:"power"`
	DHCP     Duration `toml:"dhcp"`
	Transfer Duration `toml:"transfer"`
	File     Duration `toml:"file"`
	Kernel   Duration `toml:"kernel"`
	Mount    Duration `toml:"mount"`
	Init     Duration `toml:"init"`
}

// OSServerConfig joins the roles boot and os-server of different processes.
type OSServerConfig struct {
	// Listen is where the role os-server offers itself, with TLS if there is
	// a certificate.
	Listen  string `toml:"listen"`
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// URL is the offer that the role boot uses, CAFile whom it trusts with
	// https besides the system's authorities.
	URL       string `toml:"url"`
	CAFile    string `toml:"ca_file"`
	TokenFile string `toml:"token_file"`
}

// DHCPConfig says who gives the Pis their addresses.
type DHCPConfig struct {
	Mode          string   `toml:"mode"`
	Interface     string   `toml:"interface"`
	Listen        string   `toml:"listen"`
	Range         string   `toml:"range"`
	Subnet        string   `toml:"subnet"`
	Router        string   `toml:"router"`
	DNS           []string `toml:"dns"`
	LeaseTime     Duration `toml:"lease_time"`
	Guests        *int     `toml:"guests"` // nil = 8
	Force         bool     `toml:"force"`
	ProbeInterval Duration `toml:"probe_interval"`
	// The files of dnsmasq that are written in its mode, and its process.
	DnsmasqHosts   string `toml:"dnsmasq_hosts_file"`
	DnsmasqOptions string `toml:"dnsmasq_options_file"`
	DnsmasqPID     string `toml:"dnsmasq_pid_file"`
}

// ImagesConfig says which images may be deployed.
type ImagesConfig struct {
	CacheDir        string   `toml:"cache_dir"`
	Folders         []string `toml:"folders"`
	AllowHosts      []string `toml:"allow_hosts"`
	DefaultImage    string   `toml:"default_image"`
	DefaultChecksum string   `toml:"default_image_checksum"`
	// RescueImage is what rescue roots are made of; "" = the default image.
	RescueImage    string `toml:"rescue_image"`
	RescueChecksum string `toml:"rescue_image_checksum"`
}

// ConsoleConfig is where consoles can be reached.
type ConsoleConfig struct {
	Listen    string `toml:"listen"`
	PublicURL string `toml:"public_url"`
	BindHost  string `toml:"bind_host"`
	PortMin   int    `toml:"port_min"`
	PortMax   int    `toml:"port_max"`
	Insecure  bool   `toml:"insecure"`
}

// DeployConfig holds the deadlines of deploys.
type DeployConfig struct {
	BootTimeout     Duration `toml:"boot_timeout"`
	AwayTimeout     Duration `toml:"away_timeout"`
	RootGB          int      `toml:"root_gb"`
	BootMark        string   `toml:"boot_mark"`
	AutomatedClean  *bool    `toml:"automated_clean"`
	ForcePowerState bool     `toml:"force_power_state_during_sync"`
}

// LogConfig is what is logged, to standard error.
type LogConfig struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// Duration is a time.Duration written as "90s" or "5m".
type Duration struct{ time.Duration }

// UnmarshalText reads the form of time.ParseDuration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration; write it like \"90s\" or \"5m\"", b)
	}
	d.Duration = v
	return nil
}

// The roles of a process.
const (
	roleAPI       = "api"
	roleConductor = "conductor"
	roleBroker    = "broker"
	roleBoot      = "boot"
	roleOSServer  = "os-server"
	roleConsole   = "console"
)

// The hardware types besides fake's; ipmi is fake-hardware under Ironic's names.
const (
	typeCaddy = "caddy"
	typeIPMI  = "ipmi"
)

func allHardwareTypes() []string { return []string{typeCaddy, fake.Name, typeIPMI} }

func allRoles() []string {
	return []string{roleAPI, roleConductor, roleBroker, roleBoot, roleOSServer, roleConsole}
}

// configError is a mistake in the configuration: its text is one line that
// names file, line, key and remedy.
type configError struct{ text string }

func (e *configError) Error() string { return e.text }

// loadConfig reads and checks a configuration file.
func loadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &configError{fmt.Sprintf("%s: cannot be read (%v); `caddyshack config example > %s` makes one", path, errors.Unwrap(err), path)}
	}
	var c Config
	dec := toml.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return nil, decodeError(path, err)
	}
	c.complete()
	if err := c.check(); err != nil {
		var bad *badKeyError
		if errors.As(err, &bad) {
			return nil, &configError{fmt.Sprintf("%s:%d: %s: %s", path, lineOf(string(text), bad.key), bad.key, bad.remedy)}
		}
		return nil, err
	}
	return &c, nil
}

// decodeError tells file, line and key of what the parser refused.
func decodeError(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		row, _ := first.Position()
		return &configError{fmt.Sprintf("%s:%d: %s: there is no such key; `caddyshack config example` lists all keys", path, row, strings.Join(first.Key(), "."))}
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		row, _ := bad.Position()
		key := strings.Join(bad.Key(), ".")
		if key != "" {
			key += ": "
		}
		return &configError{fmt.Sprintf("%s:%d: %s%s; see `caddyshack config example`", path, row, key, strings.TrimPrefix(bad.Error(), "toml: "))}
	}
	return &configError{fmt.Sprintf("%s: %v", path, err)}
}

// badKeyError is a value that cannot work.
type badKeyError struct{ key, remedy string }

func (b *badKeyError) Error() string { return b.key + ": " + b.remedy }

func bad(key, format string, args ...any) error {
	return &badKeyError{key, fmt.Sprintf(format, args...)}
}

// lineOf finds the line on which a key is set: its section's line if the key
// itself is not there, 1 if neither is.
func lineOf(text, key string) int {
	section, name := "", key
	if i := strings.LastIndex(key, "."); i >= 0 {
		section, name = key[:i], key[i+1:]
	}
	line, in := 1, section == ""
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "[") {
			in = strings.Trim(l, "[]") == section
			if in {
				line = i + 1
			}
			continue
		}
		if k, _, ok := strings.Cut(l, "="); in && ok && strings.TrimSpace(k) == name {
			return i + 1
		}
	}
	return line
}

func orDefault(s *string, def string) {
	if *s == "" {
		*s = def
	}
}

// complete fills in the defaults that do not depend on the machine.
func (c *Config) complete() {
	if len(c.Roles) == 0 {
		c.Roles = allRoles()
	}
	if len(c.HardwareTypes) == 0 {
		c.HardwareTypes = []string{typeCaddy, fake.Name}
	}
	orDefault(&c.Place, "default")
	orDefault(&c.API.Listen, "127.0.0.1:6385")
	orDefault(&c.API.Auth, "noauth")
	orDefault(&c.Database.Synchronous, "full")
	orDefault(&c.Broker.Listen, "127.0.0.1:1883")
	orDefault(&c.Broker.User, "controller")
	orDefault(&c.Boot.TFTPListen, ":69")
	orDefault(&c.Boot.NFSListen, ":2049")
	orDefault(&c.Boot.NFSServer, nfsEmbedded)
	orDefault(&c.Boot.PhoneHomeListen, net.JoinHostPort(c.Boot.Address, "6388"))
	c.completeNFS()
	c.completeNetworks()
	c.completeDHCP()
	orDefault(&c.Boot.Tree, "auto")
	orDefault(&c.Boot.Durability, durablePowerCut)
	orDefault(&c.Console.Listen, "127.0.0.1:6386")
	orDefault(&c.Console.BindHost, "127.0.0.1")
	orDefault(&c.Enroll.Automatic, enrolKnown)
	orDefault(&c.Log.Level, "info")
	orDefault(&c.Log.Format, "text")
	if c.StateDir != "" {
		orDefault(&c.Images.CacheDir, filepath.Join(c.StateDir, "images"))
	}
	orDefault(&c.Deploy.BootMark, string(pxe.SignMounted))
	if c.Deploy.BootTimeout.Duration == 0 {
		c.Deploy.BootTimeout.Duration = 5 * time.Minute
	}
	if c.Deploy.AwayTimeout.Duration == 0 {
		c.Deploy.AwayTimeout.Duration = nfsroot.DefaultAwayTimeout
	}
}

func (c *Config) has(role string) bool { return slices.Contains(c.Roles, role) }

// check refuses what cannot work or is not safe.
func (c *Config) check() error {
	if c.StateDir == "" {
		return bad("state_dir", "must name the folder where everything is kept, for example \"/var/lib/caddyshack\"")
	}
	for _, r := range c.Roles {
		if !slices.Contains(allRoles(), r) {
			return bad("roles", "%q is not a role; the roles are %s", r, strings.Join(allRoles(), ", "))
		}
	}
	for _, name := range c.HardwareTypes {
		if !slices.Contains(allHardwareTypes(), name) {
			return bad("hardware_types", "%q is not a hardware type; there are %s", name, strings.Join(allHardwareTypes(), ", "))
		}
	}
	for _, check := range []func() error{
		c.checkAPI, c.checkDatabase, c.checkBroker, c.checkBoot, c.checkOSServer, c.checkDHCP, c.checkDeploy, c.checkConsole, c.Enroll.check, c.checkLog,
		c.checkNetworks,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
