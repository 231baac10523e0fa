package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"

	"caddyshack/bus"
	"caddyshack/drivers/backplane"
)

// openBroker starts the embedded broker, or takes the configured one, and
// joins the bus as the controller.
func (d *daemon) openBroker(ctx context.Context) error {
	c := d.cfg.Broker
	d.brokerURL = c.URL
	if c.URL == "" && d.cfg.has(roleBroker) {
		password := c.Password
		if password == "" { // nobody else needs the controller's account
			var err error
			if password, err = randomSecret(); err != nil {
				return err
			}
		}
		users := []bus.User{{Name: c.User, Password: password, Role: bus.RoleController}}
		for _, u := range c.Units {
			users = append(users, bus.User{Name: u.ID, Password: u.Password})
		}
		cfg := bus.BrokerConfig{Listen: c.Listen, TLSListen: c.TLSListen, Control: d.apart, Users: users, Log: d.log.With("part", "broker")}
		if c.TLSListen != "" {
			cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
			if err != nil {
				return fmt.Errorf("reading the broker's certificate: %w; check broker.tls_cert and broker.tls_key", err)
			}
			cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		}
		b, err := bus.StartBroker(cfg)
		if err != nil {
			return err
		}
		d.onClose(func() error { b.Close(); return nil })
		d.broker, d.brokerURL = b, b.URL()
		c.Password = password
	}
	id, err := controllerID(d.cfg.Host)
	if err != nil {
		return err
	}
	d.controller = backplane.Config{
		Broker: d.brokerURL, User: c.User, Password: c.Password, ClientID: id,
		Observe: d.observe, Log: d.log.With("part", "bus"),
	}
	return nil
}

// openFleet joins the bus as a controller.
func (d *daemon) openFleet(context.Context) error {
	if !d.cfg.has(roleConductor) {
		return nil
	}
	fleet, err := backplane.Start(d.controller)
	if err != nil {
		return fmt.Errorf("joining the bus at %s: %w", redactURL(d.brokerURL), err)
	}
	d.fleet = fleet
	d.leaveBus = sync.OnceFunc(fleet.Close)
	d.onClose(func() error { d.leaveBus(); return nil })
	return nil
}

// controllerID makes an MQTT client id that no other controller at the broker has.
func controllerID(host string) (string, error) {
	if host == "" {
		var err error
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("finding this machine's name: %w", err)
		}
	}
	secret, err := randomSecret()
	if err != nil {
		return "", err
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	return "controller-" + name + "-" + secret[:8], nil
}
