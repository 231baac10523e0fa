package roots

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"caddyshack/baremetal"
	"caddyshack/pxe/configdrive"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree"
	"caddyshack/pxe/tftpd"
)

const driveKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f one"

// noServer lets NFS be used for its trees alone.
type noServer struct{ Server }

// seeded is a root that was made with a config drive.
type seeded struct {
	t    *testing.T
	tree Tree
	err  error
}

// seedRoot makes the root of an image with the given entries beside a kernel,
// in a real tree of the kind.
func seedRoot(t *testing.T, kind rootfs.Kind, drive configdrive.Drive, entries ...entry) seeded {
	t.Helper()
	dir := t.TempDir()
	boot, err := tftpd.NewTrees(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = boot.Close() })
	nfs := NewNFS(noServer{}, kind)
	m, err := Open(Config{Dir: dir, Trees: nfs, Exports: nfs, BootFiles: boot, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{NodeID: node1, Generation: "1", Hostname: "caddy-1", MAC: "dc:a6:32:01:36:c2", Drive: drive, PhoneHome: "http://10.0.0.1:6388/phone-home/TOKEN",
		Image: imageOf(t, append([]entry{{name: "boot/kernel8.img", body: "k"}}, entries...))}
	if _, err := m.Create(t.Context(), spec, nil); err != nil {
		return seeded{t: t, err: err}
	}
	files, err := nfs.OpenTree(filepath.Join(dir, "nodes", node1, "root", "tree"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	return seeded{t: t, tree: files}
}

// show describes files: owner, mode and content, or the target of a link.
func (s seeded) show(names ...string) map[string]string {
	s.t.Helper()
	got := map[string]string{}
	for _, n := range names {
		fi, err := s.tree.Stat(n)
		if err != nil {
			got[n] = "(none)"
			continue
		}
		a, _ := fi.Sys().(tree.Attr)
		head := fmt.Sprintf("%d:%d %v ", a.UID, a.GID, fi.Mode().Perm())
		switch {
		case fi.IsDir():
			got[n] = head + "folder"
		case fi.Mode().IsRegular():
			data, _, _, err := readConfig(s.tree, n)
			if err != nil {
				s.t.Fatal(err)
			}
			got[n] = head + string(data)
		default:
			f, _ := s.tree.(*files)
			id, _, err := f.find(n)
			if err != nil {
				s.t.Fatal(err)
			}
			target, err := f.Readlink(id)
			if err != nil {
				s.t.Fatal(err)
			}
			got[n] = "-> " + target
		}
	}
	return got
}

// kinds runs a test with both kinds of trees.
func kinds(t *testing.T, test func(t *testing.T, kind rootfs.Kind)) {
	t.Helper()
	t.Parallel()
	for _, kind := range []rootfs.Kind{rootfs.Native, rootfs.Sidecar} {
		if kind == rootfs.Native && os.Getuid() != 0 {
			continue // only root can make one
		}
		t.Run(string(kind), func(t *testing.T) { t.Parallel(); test(t, kind) })
	}
}

func fullDrive() configdrive.Drive {
	return configdrive.Drive{
		MetaData: map[string]any{"uuid": "u-1", "public_keys": map[string]any{"a": driveKey}},
		UserData: []byte("#!/bin/sh\necho first\n"),
		Files:    []configdrive.File{{Path: "etc/motd", Data: []byte("welcome\n")}},
	}
}

func TestSeedForCloudInit(t *testing.T) {
	kinds(t, func(t *testing.T, kind rootfs.Kind) {
		s := seedRoot(t, kind, fullDrive(), entry{name: "usr/bin/cloud-init", body: "#!/usr/bin/python3\n"}, entry{name: "etc/motd", link: "/etc/shadow"},
			entry{name: "etc/passwd", body: "root:x:0:0::/root:/bin/bash\n"}, entry{name: "root/.bashrc", body: ""})
		if s.err != nil {
			t.Fatal(s.err)
		}
		want := map[string]string{
			"var/lib/cloud/seed/nocloud/meta-data": "0:0 -rw------- {\n  \"instance-id\": \"u-1\",\n  \"local-hostname\": \"caddy-1\",\n  \"public-keys\": [\n    \"" + driveKey +
				"\"\n  ],\n  \"public_keys\": {\n    \"a\": \"" + driveKey + "\"\n  },\n  \"uuid\": \"u-1\"\n}\n",
			"var/lib/cloud/seed/nocloud/user-data":      "0:0 -rw------- #!/bin/sh\necho first\n",
			"var/lib/cloud/seed/nocloud/vendor-data":    "(none)",
			"var/lib/cloud/seed/nocloud/network-config": "(none)",
			"etc/cloud/cloud.cfg.d/99-caddyshack.cfg": "0:0 -rw-r--r-- # By Caddyshack, for a root that comes over the network.\ndatasource_list: [ NoCloud, None ]\n" +
				"resize_rootfs: false\ngrowpart: { mode: \"off\" }\nnetwork: { config: disabled }\n",
			"etc/cloud/cloud.cfg.d/99-caddyshack-phone-home.cfg": "0:0 -rw------- # By Caddyshack, which waits for it.\n" +
				"phone_home: { url: \"http://10.0.0.1:6388/phone-home/TOKEN\", post: [ instance_id ], tries: 10 }\n",
			"etc/caddyshack-phone-home":       "0:0 -rw------- http://10.0.0.1:6388/phone-home/TOKEN\n",
			"etc/motd":                        "0:0 -rw-rw---- welcome\n",
			"etc/hostname":                    "0:0 -rw-r--r-- caddy-1\n",
			"root/.ssh":                       "(none)",
			"var/lib/caddyshack/first-boot":   "(none)",
			"etc/systemd/network":             "(none)",
			"etc/cloud/cloud-init.disabled":   "(none)",
			"var/lib/cloud/instance/datasour": "(none)",
		}
		var names []string
		for n := range want {
			names = append(names, n)
		}
		if d := cmp.Diff(want, s.show(names...)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestSeedWithoutCloudInit(t *testing.T) {
	kinds(t, func(t *testing.T, kind rootfs.Kind) {
		d := fullDrive()
		s := seedRoot(t, kind, d, entry{name: "usr/lib/systemd/systemd", body: "x"}, entry{name: "etc/passwd",
			body: "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\nme:x:1001:1001::/home/me:/bin/sh\npi:x:1000:100:,,,:/home/pi:/bin/bash\n"},
			entry{name: "root/.bashrc"}, entry{name: "home/pi/.ssh/authorized_keys", body: "ssh-rsa old"}, entry{name: "home/me/x"})
		if s.err != nil {
			t.Fatal(s.err)
		}
		want := map[string]string{
			"root/.ssh":                     "0:0 -rwx------ folder",
			"root/.ssh/authorized_keys":     "0:0 -rw------- " + driveKey + "\n",
			"home/pi/.ssh/authorized_keys":  "1000:100 -rw------- ssh-rsa old\n" + driveKey + "\n",
			"home/me/.ssh":                  "(none)", // not the machine's own user
			"var/lib/caddyshack/first-boot": "0:0 -rwxr-xr-x #!/bin/sh\necho first\n",
			"etc/systemd/system/multi-user.target.wants/caddyshack-first-boot.service": "-> ../caddyshack-first-boot.service",
			"etc/motd":           "0:0 -rw-rw---- welcome\n",
			"var/lib/cloud/seed": "(none)",
		}
		var names []string
		for n := range want {
			names = append(names, n)
		}
		if d := cmp.Diff(want, s.show(names...)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		unit := s.show("etc/systemd/system/caddyshack-first-boot.service")["etc/systemd/system/caddyshack-first-boot.service"]
		if !strings.Contains(unit, "ExecStart=/var/lib/caddyshack/first-boot.ran\n") {
			t.Errorf("the unit is\n%s", unit)
		}

		// A cloud-config's users, and its host name.
		d = configdrive.Drive{UserData: []byte("#cloud-config\nhostname: web-1\nusers:\n- name: me\n  ssh_authorized_keys: ['" + driveKey + "']\n- name: ghost\n")}
		s = seedRoot(t, kind, d, entry{name: "etc/passwd", body: "me:x:1001:1002::/home/me:/bin/sh\n"}, entry{name: "home/me/x"})
		if s.err != nil {
			t.Fatal(s.err)
		}
		want = map[string]string{"home/me/.ssh": "1001:1002 -rwx------ folder", "home/me/.ssh/authorized_keys": "1001:1002 -rw------- " + driveKey + "\n",
			"etc/hostname": "0:0 -rw-r--r-- web-1\n"}
		if d := cmp.Diff(want, s.show("home/me/.ssh", "home/me/.ssh/authorized_keys", "etc/hostname")); d != "" {
			t.Errorf("cloud-config (-want +got):\n%s", d)
		}

		// An image with an init of its own.
		s = seedRoot(t, kind, fullDrive(), entry{name: "var/lib/caddyshack/first-boot.d/README", body: "x"})
		if s.err != nil {
			t.Fatal(s.err)
		}
		if got := s.show("var/lib/caddyshack/first-boot.d/user-data")["var/lib/caddyshack/first-boot.d/user-data"]; got != "0:0 -rwxr-xr-x #!/bin/sh\necho first\n" {
			t.Errorf("the script is %q", got)
		}
	})
}

// Nothing of a drive is written through a link of the image, and what cannot be
// done is an error that says why.
func TestSeedIsConfined(t *testing.T) {
	kinds(t, func(t *testing.T, kind rootfs.Kind) {
		victim := t.TempDir()
		script := configdrive.Drive{UserData: []byte("#!/bin/sh\n")}
		keys := configdrive.Drive{MetaData: map[string]any{"public_keys": []any{driveKey}}}
		file := func(p string) configdrive.Drive {
			return configdrive.Drive{Files: []configdrive.File{{Path: p, Data: []byte("x")}}}
		}
		for name, tc := range map[string]struct {
			drive configdrive.Drive
			entry entry
			says  string
		}{
			"file through a link":   {file("out/x"), entry{name: "out", link: victim}, "leads through no symbolic link"},
			"file over a folder":    {file("etc"), entry{name: "etc/x"}, "cannot be put into the root"},
			"file that leaves":      {file("../x"), entry{name: "etc/x"}, "cannot be put into the root"},
			"seed through a link":   {keys, entry{name: "var/lib/cloud", link: victim}, "cloud-init's seed"},
			"keys through a link":   {keys, entry{name: "root/.ssh", link: victim}, "authorized_keys"},
			"script without runner": {script, entry{name: "etc/x"}, "neither cloud-init nor systemd"},
			"script through a link": {script, entry{name: "var/lib/caddyshack", link: victim}, "neither"},
			"keys for nobody":       {keys, entry{name: "etc/passwd", body: "root:x:0:0::/root:/sbin/nologin\n"}, "no user with a shell"},
			"bad name":              {configdrive.Drive{UserData: []byte("#cloud-config\nhostname: \"a b\"\n")}, entry{name: "etc/x"}, "cannot be a host name"},
		} {
			entries := []entry{tc.entry}
			if strings.HasPrefix(name, "seed") {
				entries = append(entries, entry{name: "usr/bin/cloud-init"})
			}
			s := seedRoot(t, kind, tc.drive, entries...)
			if s.err == nil || !strings.Contains(s.err.Error(), tc.says) {
				t.Errorf("%s: %v", name, s.err)
			}
			if name == "file through a link" && !baremetal.IsKind(s.err, baremetal.Invalid) {
				t.Errorf("%s is of kind %v", name, baremetal.KindOf(s.err))
			}
		}
		if list, err := os.ReadDir(victim); err != nil || len(list) > 0 {
			t.Errorf("outside there is %v, %v", list, err)
		}
	})
}

func TestHostKeysAreFresh(t *testing.T) {
	kinds(t, func(t *testing.T, kind rootfs.Kind) {
		seen := map[string]bool{}
		for range 2 {
			s := seedRoot(t, kind, configdrive.Drive{}, entry{name: "etc/ssh/ssh_host_rsa_key", body: "shared"}, entry{name: "etc/ssh/sshd_config"})
			if got := s.show("etc/ssh/ssh_host_rsa_key")["etc/ssh/ssh_host_rsa_key"]; got != "(none)" {
				t.Errorf("the image's key remains: %q", got)
			}
			for _, name := range []string{"etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ecdsa_key"} {
				got := s.show(name)[name]
				private, ok := strings.CutPrefix(got, "0:0 -rw------- ")
				signer, err := ssh.ParsePrivateKey([]byte(private))
				if !ok || err != nil || seen[private] {
					t.Fatalf("%s: %q, %v; seen before: %v", name, got, err, seen[private])
				}
				seen[private] = true
				want := "0:0 -rw-r--r-- " + string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
				if got := s.show(name + ".pub")[name+".pub"]; got != want {
					t.Errorf("%s.pub is %q", name, got)
				}
			}
		}
	})
}
