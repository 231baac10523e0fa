package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

func TestPhoneHome(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/phone-home/abc" {
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
		if asked.Add(1) == 1 { // the service is restarting
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "url")
	if err := phoneHome(file, time.Millisecond); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(file, []byte(srv.URL+"/phone-home/abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := phoneHome(file, time.Millisecond); err != nil || asked.Load() != 2 {
		t.Errorf("%v after %d tries", err, asked.Load())
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := phoneHome(file, time.Millisecond); err == nil {
		t.Error("nonsense was taken for a URL")
	}
}
