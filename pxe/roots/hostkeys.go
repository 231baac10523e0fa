package roots

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"
)

// mendHostKeys gives the root ssh host keys of its own: nodes of one image must
// not share them, and not every system makes new ones when it finds none.
func mendHostKeys(t Tree, hostname string) error {
	for _, dir := range []string{"etc/ssh", "etc/dropbear"} {
		list, err := t.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, fi := range list {
			n := fi.Name()
			key := strings.HasPrefix(n, "ssh_host_") && strings.Contains(n, "_key") || strings.HasPrefix(n, "dropbear_") && strings.HasSuffix(n, "_host_key")
			if !key || fi.IsDir() {
				continue
			}
			if err := t.Remove(path.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	if !hasFolder(t, "etc/ssh") {
		return nil // dropbear makes its own
	}
	// No RSA: its making takes seconds on a small controller, and every client
	// of the last ten years knows these two.
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return errors.Join(writeHostKey(t, "ed25519", ed, hostname), writeHostKey(t, "ecdsa", ec, hostname))
}

func writeHostKey(t Tree, kind string, key crypto.Signer, hostname string) error {
	block, err := ssh.MarshalPrivateKey(key, "root@"+hostname)
	if err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	name := "etc/ssh/ssh_host_" + kind + "_key"
	return errors.Join(t.WriteFile(name, pem.EncodeToMemory(block), 0o600, Owner{}),
		t.WriteFile(name+".pub", ssh.MarshalAuthorizedKey(public), 0o644, Owner{}))
}
