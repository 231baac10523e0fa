package pxe

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/pxe/images"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
)

// noNFS keeps trees without serving them.
type noNFS struct{}

func (noNFS) AddExport(context.Context, nfsd.Export) error { return nil }
func (noNFS) RemoveExport(context.Context, string) error   { return nil }

// driveServer is an operating-system server that may fetch from the hosts, and
// an image for it.
func driveServer(t *testing.T, hosts ...string) (s *LocalOSServer, image ImageSource) {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"etc/hosts", "boot/kernel8.img"} {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1})); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(filepath.Join(dir, "image.tar"), b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	store, err := images.Open(images.Config{Dir: filepath.Join(dir, "cache"), FileFolders: []string{dir}, AllowHosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	boot, err := tftpd.NewTrees(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = boot.Close() })
	nfs := roots.NewNFS(noNFS{}, rootfs.Sidecar)
	m, err := roots.Open(roots.Config{Dir: filepath.Join(dir, "roots"), Trees: nfs, Exports: nfs, BootFiles: boot, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &LocalOSServer{Images: store, Roots: m, Dir: dir}, ImageSource{URL: "file://" + filepath.Join(dir, "image.tar")}
}

// TestConfigDriveFromURL fetches drives under the rules of images.
func TestConfigDriveFromURL(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 65<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"meta_data": {"hostname": "from-url"}}`))
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bomb.Bytes()) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/openstack", http.StatusFound)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s, image := driveServer(t, strings.TrimPrefix(srv.URL, "http://"))
	request := func(url string) RootRequest {
		text, err := json.Marshal(url)
		if err != nil {
			t.Fatal(err)
		}
		return RootRequest{NodeID: "11111111-2222-3333-4444-555555555501", Generation: baremetal.NewUUID(), Hostname: "caddy-1", Image: image, ConfigDrive: text}
	}
	for path, says := range map[string]string{
		"/bomb": "exceeds the limit", "/endless?signature=s3cret": "exceeds the limit", "/away?signature=s3cret": "private or local address", "/nothing?signature=s3cret": "404",
	} {
		err := s.CreateRoot(t.Context(), request(srv.URL+path))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if list, err := s.Roots.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("failures left the roots %v, %v", list, err)
	}
	if err := s.CreateRoot(t.Context(), request(srv.URL+"/good")); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Roots.List(t.Context()); err != nil || len(list) != 1 || list[0].Hostname != "from-url" {
		t.Errorf("the roots are %+v, %v", list, err)
	}

	// What is known without asking the server is known at once.
	for url, says := range map[string]string{srv.URL + "/x": "", "http://10.0.0.1/x": "private or local", "https://u:p@example.com/x": "password", "ftp://example.com/": "scheme"} {
		err := s.CheckConfigDrive(t.Context(), request(url).ConfigDrive)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
