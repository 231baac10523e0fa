package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"caddyshack/bus"
	"caddyshack/firmware/provision"
)

type unitCmd struct {
	Setup  unitSetupCmd  `cmd:"" help:"Tell a unit its Wi-Fi, broker and identity over its USB cable."`
	Update unitUpdateCmd `cmd:"" help:"Update the units' firmware, one unit at a time."`
}

type unitSetupCmd struct {
	Port         string        `arg:"" help:"The unit's serial port, such as /dev/ttyUSB0."`
	ID           string        `name:"id" help:"Id on the bus, such as bpu-1; default: bpu- and the end of its MAC."`
	SSID         string        `name:"ssid" required:"" help:"Name of the Wi-Fi."`
	Host         string        `required:"" help:"The broker's address."`
	BrokerPort   int           `help:"The broker's port; default: the unit's own (8883 with TLS, 1883 without)."`
	User         string        `help:"User at the broker; default: the id."`
	Index        *int          `help:"Place of the unit in the chassis, from 0; it orders switching on after a power loss."`
	Policy       string        `enum:"off,last,on," default:"" help:"What slots do after a power loss: off, last or on."`
	Certs        []string      `name:"broker-cert" type:"existingfile" help:"The broker's certificate (PEM, P-256), at most two: the second is for changing it. The unit pins its key."`
	Plain        bool          `help:"No TLS: for a network that is trusted only."`
	WiFiPassword string        `name:"wifi-password" env:"CADDYSHACK_WIFI_PASSWORD" help:"Asked for if not given (${env})."`
	Password     string        `env:"CADDYSHACK_UNIT_PASSWORD" help:"At the broker; asked for if not given (${env})."`
	Timeout      time.Duration `default:"90s" help:"How long the unit may take to connect."`
}

// Run sets the unit up and waits until it has connected.
func (cmd unitSetupCmd) Run(ctx context.Context) error {
	s := provision.Settings{ID: cmd.ID, SSID: cmd.SSID, WiFiPassword: cmd.WiFiPassword, Host: cmd.Host, Port: cmd.BrokerPort,
		User: cmd.User, Password: cmd.Password, Plain: cmd.Plain, Policy: cmd.Policy, Index: cmd.Index}
	if len(cmd.Certs) == 0 && !cmd.Plain {
		return &configError{"unit setup: name the broker's certificate with --broker-cert, or use --plain on a network that is trusted"}
	}
	for _, file := range cmd.Certs {
		key, err := brokerKey(file)
		if err != nil {
			return err
		}
		s.Keys = append(s.Keys, key)
	}
	for _, ask := range []struct {
		what string
		into *string
	}{{"Password of the Wi-Fi " + cmd.SSID, &s.WiFiPassword}, {"Password of the unit at the broker", &s.Password}} {
		if *ask.into != "" {
			continue
		}
		var err error
		if *ask.into, err = askPassword(ask.what); err != nil {
			return err
		}
	}
	port, err := provision.Open(cmd.Port)
	if err != nil {
		return err
	}
	conn := provision.NewConn(port)
	defer conn.Close() //nolint:errcheck // the unit has answered
	ctx, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	id, err := conn.Setup(ctx, s, func(text string) { fmt.Fprintln(os.Stderr, text) })
	if err != nil {
		return err
	}
	fmt.Printf("unit %s (MAC %s, firmware %s) is connected\n", id.ID, id.MAC, provision.Version(id.Version))
	return nil
}

// brokerKey reads the key to pin from a certificate file.
func brokerKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the broker's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, &configError{fmt.Sprintf("%s holds no PEM certificate", file)}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s: %w", file, err)
	}
	return provision.BrokerKey(cert)
}

func askPassword(what string) (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", &configError{strings.ToLower(what[:1]) + what[1:] + " is needed; give it by a flag or its variable (see --help)"}
	}
	fmt.Fprint(os.Stderr, what+": ")
	b, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(b), nil
}

type unitUpdateCmd struct {
	File     string        `arg:"" type:"existingfile" help:"The firmware image."`
	Version  string        `required:"" help:"Its version, such as 1.1.0."`
	Minimum  string        `default:"0.0.0" help:"The oldest version that units may go back to once this one has proven itself."`
	Key      string        `required:"" type:"existingfile" help:"The RSA key that signs updates (make -C firmware update-key)."`
	Broker   string        `default:"tcp://127.0.0.1:1883" help:"URL of the MQTT broker."`
	User     string        `default:"controller" help:"The controller's user at the broker."`
	Password string        `env:"CADDYSHACK_BROKER_PASSWORD" help:"The controller's password (${env})."`
	Units    []string      `required:"" help:"Units in the order they are done, such as bpu-1,bpu-2."`
	Listen   string        `required:"" help:"HOST:PORT where units fetch the file; HOST is this machine's address as they reach it, port 0 takes any."`
	Force    bool          `help:"Also an older version than the one that runs."`
	Patience time.Duration `default:"10m" help:"How long each unit may take."`
}

// Run signs the image and updates the units.
func (cmd unitUpdateCmd) Run(ctx context.Context) error {
	version, err := provision.ParseVersion(cmd.Version)
	if err != nil {
		return &configError{"--version: " + err.Error()}
	}
	minimum, err := provision.ParseVersion(cmd.Minimum)
	if err != nil {
		return &configError{"--minimum: " + err.Error()}
	}
	key, err := signingKey(cmd.Key)
	if err != nil {
		return err
	}
	image, err := os.ReadFile(cmd.File)
	if err != nil {
		return fmt.Errorf("reading the firmware: %w", err)
	}
	signed, err := provision.Sign(image, version, minimum, key)
	if err != nil {
		return err
	}
	return provision.Update{
		Broker: bus.ClientConfig{Broker: cmd.Broker, ClientID: "update-" + fmt.Sprint(os.Getpid()), User: cmd.User, Password: cmd.Password},
		Units:  cmd.Units, File: signed, Listen: cmd.Listen, Force: cmd.Force, Patience: cmd.Patience,
		Progress: func(unit, text string) { fmt.Printf("%s  %s  %s\n", time.Now().Format("15:04:05"), unit, text) },
	}.Run(ctx)
}

// signingKey reads an RSA key in PKCS #1 or PKCS #8 form.
func signingKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, &configError{fmt.Sprintf("%s holds no PEM key", file)}
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", file, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New(file + " is no RSA key; `make -C firmware update-key` makes one")
	}
	return key, nil
}
