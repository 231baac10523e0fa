package roots

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/pxe/configdrive"
)

// seedFolder is where cloud-init's data source NoCloud looks first.
const seedFolder = "var/lib/cloud/seed/nocloud"

// Where the first-boot script goes in images without cloud-init.
const (
	// scriptFolder is in images whose own init runs once what is in it.
	scriptFolder = "var/lib/caddyshack/first-boot.d"
	scriptFile   = "var/lib/caddyshack/first-boot"
	scriptUnit   = "caddyshack-first-boot.service"
)

// seed hands the config drive to the root: as a seed to cloud-init, or else by
// files. It returns what of the drive the image cannot use, "" if nothing.
func seed(t Tree, spec Spec) (ignored string, err error) {
	if hasCloudInit(t) {
		err = seedCloudInit(t, spec)
	} else {
		ignored, err = seedBasics(t, spec.Drive)
	}
	if err != nil {
		return "", err
	}
	for _, f := range spec.Drive.Files {
		// The mode is that of cloud-init for such files.
		if err := t.WriteFile(f.Path, f.Data, 0o660, Owner{}); err != nil {
			return "", baremetal.Errorf(baremetal.Invalid,
				"the file /%s of the config drive cannot be put into the root: %w; give a path that leads through no symbolic link of the image", f.Path, err)
		}
	}
	return ignored, nil
}

// isFile tells whether name is a regular file of the root.
func isFile(t Tree, name string) bool {
	fi, err := t.Stat(name)
	return err == nil && fi.Mode().IsRegular()
}

// isThere tells whether the root has name, whatever it is.
func isThere(t Tree, name string) bool {
	_, err := t.Stat(name)
	return err == nil
}

func hasCloudInit(t Tree) bool {
	return isThere(t, "usr/bin/cloud-init") && !isThere(t, "etc/cloud/cloud-init.disabled")
}

// hasSystemd tells whether the root's init is systemd. /lib may be a link to
// /usr/lib.
func hasSystemd(t Tree) bool {
	return isFile(t, "usr/lib/systemd/systemd") || isFile(t, "lib/systemd/systemd")
}

func seedCloudInit(t Tree, spec Spec) error {
	files, err := spec.Drive.NoCloud(spec.NodeID, spec.Hostname, spec.MAC)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.WriteFile(path.Join(seedFolder, name), files[name], 0o600, Owner{}); err != nil {
			return fmt.Errorf("writing cloud-init's seed: %w", err)
		}
	}
	config := "# By Caddyshack, for a root that comes over the network.\n" +
		"datasource_list: [ NoCloud, None ]\nresize_rootfs: false\ngrowpart: { mode: \"off\" }\n"
	if files["network-config"] == nil {
		// It would configure the interface that the root comes over.
		config += "network: { config: disabled }\n"
	}
	if err := t.WriteFile("etc/cloud/cloud.cfg.d/99-caddyshack.cfg", []byte(config), 0o644, Owner{}); err != nil {
		return fmt.Errorf("writing cloud-init's configuration: %w", err)
	}
	return seedPhoneHome(t, spec.PhoneHome)
}

// seedPhoneHome makes cloud-init tell that the system is up, unless its user
// data have another phone_home. The URL is not for everybody to read.
func seedPhoneHome(t Tree, url string) error {
	if url == "" {
		return nil
	}
	config := fmt.Sprintf("# By Caddyshack, which waits for it.\nphone_home: { url: %q, post: [ instance_id ], tries: 10 }\n", url)
	if err := t.WriteFile("etc/cloud/cloud.cfg.d/99-caddyshack-phone-home.cfg", []byte(config), 0o600, Owner{}); err != nil {
		return fmt.Errorf("writing cloud-init's configuration: %w", err)
	}
	return nil
}

// seedBasics does for an image without cloud-init what files can do: keys and a
// first-boot script. The host name is set by mend.
func seedBasics(t Tree, d configdrive.Drive) (ignored string, err error) {
	b, err := d.Basics()
	if err != nil {
		return "", err
	}
	users, err := readUsers(t)
	if err != nil {
		return "", err
	}
	var notes []string
	if b.Ignored != "" {
		notes = append(notes, b.Ignored)
	}
	if len(b.RootKeys) > 0 {
		own := ownUsers(users)
		if len(own) == 0 {
			return "", baremetal.Errorf(baremetal.Invalid, "the config drive brings ssh keys, but /etc/passwd of the image has no user with a shell and a home folder")
		}
		for _, u := range own {
			if err := addKeys(t, u, b.RootKeys); err != nil {
				return "", err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Keys)) {
		i := slices.IndexFunc(users, func(u user) bool { return u.name == name })
		if i < 0 {
			notes = append(notes, fmt.Sprintf("the image has no user %.40q", name))
			continue
		}
		if err := addKeys(t, users[i], b.Keys[name]); err != nil {
			return "", err
		}
	}
	if b.Script != nil {
		if err := seedScript(t, b.Script); err != nil {
			return "", err
		}
	}
	return strings.Join(notes, "; "), nil
}

// seedScript makes the image run a script once.
func seedScript(t Tree, script []byte) error {
	switch {
	case hasFolder(t, scriptFolder):
		return t.WriteFile(path.Join(scriptFolder, "user-data"), script, 0o755, Owner{})
	case !hasSystemd(t):
		return baremetal.Errorf(baremetal.Invalid,
			"the config drive brings a script for the first boot, but nothing in the image would run it: it has neither cloud-init nor systemd nor the folder /%s", scriptFolder)
	}
	if err := t.WriteFile(scriptFile, script, 0o755, Owner{}); err != nil {
		return err
	}
	// Moved before it runs: once, however it ends.
	unit := fmt.Sprintf(`[Unit]
Description=First-boot script of the config drive
ConditionPathExists=/%[1]s
After=local-fs.target network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=/bin/mv /%[1]s /%[1]s.ran
ExecStart=/%[1]s.ran
StandardOutput=journal+console
`, scriptFile)
	const units = "etc/systemd/system"
	if err := t.WriteFile(path.Join(units, scriptUnit), []byte(unit), 0o644, Owner{}); err != nil {
		return err
	}
	wants := path.Join(units, "multi-user.target.wants")
	if err := t.Mkdir(wants, 0o755, Owner{}); err != nil {
		return err
	}
	return t.Symlink(path.Join(wants, scriptUnit), "../"+scriptUnit)
}

// addKeys adds keys to a user's authorized_keys.
func addKeys(t Tree, u user, keys []string) error {
	folder := path.Join(u.home, ".ssh")
	err := t.Mkdir(u.home, 0o700, u.owner)
	if err == nil {
		err = t.Mkdir(folder, 0o700, u.owner)
	}
	var old []byte
	name := path.Join(folder, "authorized_keys")
	if err == nil {
		old, _, _, err = readConfig(t, name)
	}
	if err == nil {
		text := string(old)
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		for _, k := range keys {
			if !strings.Contains("\n"+text, "\n"+k+"\n") {
				text += k + "\n"
			}
		}
		err = t.WriteFile(name, []byte(text), 0o600, u.owner)
	}
	if err != nil {
		return fmt.Errorf("giving %s the keys of the config drive in /%s: %w", u.name, name, err)
	}
	return nil
}

// hostnameOf is what the root of spec is called.
func hostnameOf(t Tree, spec Spec) (string, error) {
	if hasCloudInit(t) {
		return spec.Hostname, nil
	}
	b, err := spec.Drive.Basics()
	if err != nil || b.Hostname == "" {
		return spec.Hostname, err
	}
	return b.Hostname, CheckHostname(b.Hostname)
}

// errNoHome says that a user's home folder is not in the root.
var errNoHome = errors.New("it is no folder of the image")

// homeOf makes a home folder's path relative to the root.
func homeOf(t Tree, home string) (string, error) {
	name := path.Clean("/" + home)[1:]
	if fi, err := t.Stat(name); name == "" || err != nil || !fi.IsDir() {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", errNoHome
	}
	return name, nil
}
