package guest

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
)

// libraryPath finds the paths in what ldd prints.
var libraryPath = regexp.MustCompile(`(?m)(/\S+) \(0x[0-9a-f]+\)$`)

// AddPrograms adds programs of the host to the Files of a guest, in /bin and
// with the libraries they are linked with. Names are looked up in PATH.
func AddPrograms(ctx context.Context, files map[string]string, names ...string) error {
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("adding a program to the guest: %w; install its package", err)
		}
		files["/bin/"+filepath.Base(path)] = path
		out, err := exec.CommandContext(ctx, "ldd", path).CombinedOutput()
		if err != nil {
			return fmt.Errorf("finding the libraries of %s: %w: %s", path, err, out)
		}
		for _, m := range libraryPath.FindAllStringSubmatch(string(out), -1) {
			files[m[1]] = m[1]
		}
	}
	return nil
}
