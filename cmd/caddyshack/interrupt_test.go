package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// TestInterruptedCommands: a command that is interrupted says so by its exit code.
func TestInterruptedCommands(t *testing.T) { // signals are the process's: not in parallel
	asked := make(chan struct{}, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client is gone
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done() // never answers
	}))
	defer api.Close()
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		for _, args := range [][]string{{"nodes"}, {"power", "n1", "on"}, {"deploy", "n1"}, {"undeploy", "n1"}, {"show", "n1"}} {
			ctx, stop := signal.NotifyContext(context.Background(), sig)
			code := make(chan int, 1)
			go func() { code <- run(ctx, append(args, "--endpoint", api.URL)) }()
			select {
			case <-asked:
			case got := <-code:
				t.Fatalf("%v ended with %d before it asked", args, got)
			}
			if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-code:
				if got != want {
					t.Errorf("%v interrupted by %v: exit code %d, want %d", args, sig, got, want)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%v did not end", args)
			}
			stop()
		}
	}
}
