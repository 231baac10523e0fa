//go:build e2e && qemu

package e2e

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestQEMURescue rescues a Pi as people do, gets into the real system of its
// rescue root by ssh with the rescue password, and brings its own system back.
func TestQEMURescue(t *testing.T) {
	t.Parallel()
	demoKernel(t)
	guestAddresses(t)
	s := startDemo(t, "--pi", "qemu", "--caddies", "1")
	const name, own, rescue, password = "caddy-1", "root@caddy-1:~# ", "root@caddy-1-rescue:~# ", "open sesame 7"
	c := openTyped(t, s, name)
	s.available(name)
	s.deploy(name)
	c.wait(own)
	c.run(own, "echo mine > /root/proof; sync")

	s.ok("node", "rescue", "--rescue-password", password, name)
	eventually(t, guestTimeout, "rescue", func() bool {
		n := s.api.node(name)
		return n.Reservation == nil && (n.Provision == "rescue" || n.Provision == "rescue failed")
	})
	if n := s.api.node(name); n.Provision != "rescue" {
		t.Fatalf("the rescue failed: %s", text(n.LastError))
	}
	c.wait(rescue)
	run := func(user, password, command string) (string, error) {
		conn, err := ssh.Dial("tcp", "127.77.1.1:2222", &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)},
			HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: time.Minute}) //nolint:gosec // it has just been made
		if err != nil {
			return "", err
		}
		defer conn.Close() //nolint:errcheck // done with
		session, err := conn.NewSession()
		if err != nil {
			return "", err
		}
		defer session.Close() //nolint:errcheck // done with
		out, err := session.Output(command)
		return string(out), err
	}
	var out string
	eventually(t, guestTimeout, "ssh into the rescue system", func() bool {
		var err error
		out, err = run("rescue", password, "hostname; cat /root/proof || echo not mine")
		return err == nil
	})
	if out != "caddy-1-rescue\nnot mine\n" {
		t.Errorf("the rescue system answers %q", out)
	}
	if got, err := run("rescue", password, "cat /root/own-root"); err != nil || !strings.Contains(got, ":/own/"+s.api.node(name).UUID+" /mnt/root\n") {
		t.Errorf("of its own root the rescue system tells %q, %v", got, err)
	}
	// Its init has mounted it, or is about to.
	eventually(t, guestTimeout, "the own root in the rescue system", func() bool {
		got, err := run("rescue", password, "cat /mnt/root/root/proof && echo mended > /mnt/root/root/mended && sync && umount /mnt/root && ls /mnt/root")
		return err == nil && got == "mine\n"
	})
	// And by hand, as the file says.
	if got, err := run("rescue", password, "sh /root/own-root; cat /mnt/root/root/mended"); err != nil || got != "mended\n" {
		t.Errorf("mounted by hand: %q, %v", got, err)
	}
	for user, wrong := range map[string]string{"rescue": "open sesame", "root": password} {
		if out, err := run(user, wrong, "true"); err == nil {
			t.Errorf("%s with the password %q: %q, %v", user, wrong, out, err)
		}
	}

	s.ok("node", "unrescue", name)
	s.awaitState(name, "active")
	c.wait(own)
	if got := c.run(own, "cat /root/proof /root/mended"); got != "\r\nmine\r\nmended\r" {
		t.Errorf("after the rescue its own system has %q", got)
	}
	if _, err := run("rescue", password, "true"); err == nil {
		t.Error("the rescue password opens its own system")
	}
}
