package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// firstBoot is where whoever deploys the image puts programs that are run once,
// such as the script of a config drive; firstBootRan is where they are then.
const (
	firstBoot    = "/var/lib/caddyshack/first-boot.d"
	firstBootRan = "/var/lib/caddyshack/first-boot.ran"
)

// runOnce runs the programs in the folder from, by name, one after the other.
// Each is moved to the folder ran first: it is run once, however it ends.
func runOnce(from, ran string, run func(path string) error) {
	list, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		report("first boot", err)
	}
	for _, e := range list {
		if fi, err := e.Info(); err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 {
			continue
		}
		path := filepath.Join(ran, e.Name())
		err := os.MkdirAll(ran, 0o700)
		if err == nil {
			err = os.Rename(filepath.Join(from, e.Name()), path)
		}
		if err == nil {
			err = run(path)
		}
		report("first boot: "+e.Name(), err)
	}
}
