//go:build inguest

package kernelmount

import (
	"os"
	"os/exec"
	"testing"
)

// stressors are those of stress-ng's file-system class that do not need what an
// NFS mount has not (file attributes of ext4, inotify on the server, quotas;
// fsize allocates up to a limit that it sets itself, where NFSv3 has no
// fallocate).
var stressors = []string{
	"--access", "--chdir", "--chmod", "--chown", "--dentry", "--dir", "--dirdeep", "--dirmany",
	"--fallocate", "--fiemap", "--filename", "--flock", "--fpunch", "--fstat", "--getdent", "--hdd",
	"--iomix", "--lease", "--link", "--locka", "--lockf", "--lockofd", "--mknod", "--open", "--readahead",
	"--rename", "--symlink", "--sync-file", "--touch", "--utime", "--verity", "--xattr",
}

// shortStressors are those that NFS_SHORT leaves: each kind of call once, and
// none that makes thousands of files whatever the time is.
var shortStressors = []string{
	"--chmod", "--dir", "--fallocate", "--fstat", "--getdent", "--hdd", "--iomix", "--rename", "--sync-file", "--utime",
}

// TestStress runs stress-ng's stressors one after the other and then dbench,
// for as long as NFS_STRESS_TIME and NFS_DBENCH_TIME tell (in seconds).
func TestStress(t *testing.T) {
	each := os.Getenv("NFS_STRESS_TIME")
	if each == "" {
		return // the table alone is wanted
	}
	list := stressors
	if os.Getenv("NFS_SHORT") != "" {
		list = shortStressors
	}
	must(t, os.Mkdir(mountPoint+"/stress", 0o777))
	for _, s := range list {
		t.Run("stress-ng "+s, func(t *testing.T) {
			// What a stressor cannot do here, it skips itself, with exit code 4.
			out, err := exec.Command("stress-ng", s, "1", "--timeout", each, "--verify", "--temp-path", mountPoint+"/stress",
				"--hdd-bytes", "8m", "--iomix-bytes", "8m", "--fallocate-bytes", "8m", "--fiemap-bytes", "2m",
				"--readahead-bytes", "8m", "--sync-file-bytes", "4m", "--filename-opts", "posix",
				"--dirdeep-inodes", "200", "--dentries", "200").CombinedOutput()
			if code := exitCode(err); code != 0 && code != 4 {
				t.Errorf("exit code %d: %v\n%s", code, err, out)
			}
		})
	}
	removeAll(t, mountPoint+"/stress")
	t.Run("dbench", func(t *testing.T) {
		must(t, os.Mkdir(mountPoint+"/dbench", 0o777))
		out, err := exec.Command("dbench", "-t", os.Getenv("NFS_DBENCH_TIME"), "-c", "/client.txt", "-D", mountPoint+"/dbench", "2").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		tail := out[max(0, len(out)-200):]
		t.Logf("%s", tail)
		removeAll(t, mountPoint+"/dbench")
	})
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Command returns it as it is
		return e.ExitCode()
	}
	return -1
}
