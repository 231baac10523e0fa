package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// Files of the ssh server, in OpenSSH's places.
const (
	hostKeyFile        = "/etc/ssh/ssh_host_ed25519_key"
	authorizedKeysFile = "/root/.ssh/authorized_keys"
)

const (
	// maxConns bounds connections at one time, handshakes among them.
	maxConns = 32
	// handshakeTime is how long one may take to log in.
	handshakeTime = 30 * time.Second
)

// sshdMain is the ssh server. It lets in root with a key from authorized_keys,
// and in a rescue system the user rescue with the rescue password.
func sshdMain() int {
	key, err := hostKey(hostKeyFile)
	if err == nil {
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":22"); err == nil {
			err = serveSSH(l, sshConfig(key, authorizedKeysFile, shadowFile), "/bin/sh")
		}
	}
	report("ssh server", err)
	return 1
}

// hostKey reads the host key, or makes it at the first start.
func hostKey(path string) (ssh.Signer, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
		b, err = newHostKey(path)
	}
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(b)
}

func newHostKey(path string) ([]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(block)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return nil, err
	}
	if p, err := ssh.NewPublicKey(public); err == nil {
		_ = os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(p), 0o644) // for people only
	}
	return b, os.Rename(tmp, path)
}

// rescueUser is the only one with a password.
const rescueUser = "rescue"

func sshConfig(key ssh.Signer, authorized, shadow string) *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(meta ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != "root" || !isAuthorized(authorized, offered) {
				return nil, fmt.Errorf("no such key for %q", meta.User())
			}
			return &ssh.Permissions{}, nil
		},
		PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			const longest = 1024 // hashing takes time by its length
			if meta.User() != rescueUser || len(password) > longest || !isPassword(shadow, rescueUser, password) {
				return nil, fmt.Errorf("wrong password for %q", meta.User())
			}
			return &ssh.Permissions{}, nil
		},
	}
	c.AddHostKey(key)
	return c
}

// isAuthorized looks the key up in the file, which may change at any time.
func isAuthorized(path string, offered ssh.PublicKey) bool {
	rest, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for len(rest) > 0 {
		var key ssh.PublicKey
		var options []string
		key, _, options, rest, err = ssh.ParseAuthorizedKey(rest)
		if err != nil {
			return false // no more keys
		}
		// Options restrict a key (command=, from=). Not knowing them, rather
		// refuse such a key than give it more than was meant.
		if len(options) == 0 && subtle.ConstantTimeCompare(key.Marshal(), offered.Marshal()) == 1 {
			return true
		}
	}
	return false
}

// serveSSH serves connections until the listener is closed.
func serveSSH(l net.Listener, config *ssh.ServerConfig, shell string) error {
	slots := make(chan struct{}, maxConns)
	for {
		slots <- struct{}{}
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // out of descriptors, or the peer has gone
			<-slots
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go func() {
			defer func() { <-slots }()
			serveConn(conn, config, shell)
		}()
	}
}

func serveConn(conn net.Conn, config *ssh.ServerConfig, shell string) {
	defer conn.Close() //nolint:errcheck // ended either way
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return // a stranger; not worth a line in the log
	}
	_ = conn.SetDeadline(time.Time{})
	defer c.Close() //nolint:errcheck // ended either way
	go ssh.DiscardRequests(requests)
	for n := range channels {
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		ch, requests, err := n.Accept()
		if err != nil {
			continue
		}
		s := &session{ch: ch, shell: shell}
		go s.serve(requests)
	}
}
