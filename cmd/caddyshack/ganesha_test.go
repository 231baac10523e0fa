//go:build ganesha

package main

import (
	"fmt"
	"testing"

	"caddyshack/internal/ganesha"
)

func TestDeployThroughGanesha(t *testing.T) {
	if !ganesha.Again(t) {
		return
	}
	g := ganesha.StartT(t)
	deployThroughOther(t, t.TempDir(), fmt.Sprintf(`nfs_server = "ganesha"
nfs_listen = "127.0.0.1:%d"
nfs_mount_port = %d
nfs_exports_file = %q
nfs_pid_file = %q`, g.NFSPort, g.MountPort, g.ExportsFile, g.PIDFile), g.ExportsFile)
}
