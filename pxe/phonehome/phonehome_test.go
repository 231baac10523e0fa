package phonehome_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/pxe/phonehome"
)

func open(t *testing.T, dir string) *phonehome.Tokens {
	t.Helper()
	tokens, err := phonehome.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func token(t *testing.T, tokens *phonehome.Tokens, id, generation string) string {
	t.Helper()
	s, err := tokens.Token(id, generation)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A token belongs to one root, is the same after a restart, and ends with the
// root.
func TestTokens(t *testing.T) {
	t.Parallel()
	dir, id := t.TempDir(), baremetal.NewUUID()
	tokens := open(t, dir)
	first := token(t, tokens, id, "one")
	if again := token(t, tokens, id, "one"); again != first {
		t.Error("the same root got two tokens")
	}
	tokens = open(t, dir)
	if got, ok := tokens.Node(first); !ok || got != id {
		t.Errorf("after a restart the token is of %q, %v", got, ok)
	}
	second := token(t, tokens, id, "two")
	if _, ok := tokens.Node(first); ok || second == first {
		t.Error("the token of the root before is still good")
	}
	if err := tokens.Forget(id); err != nil {
		t.Fatal(err)
	}
	if _, ok := open(t, dir).Node(second); ok {
		t.Error("a forgotten token came back")
	}
	if _, err := tokens.Token("../x", "one"); err == nil {
		t.Error("a node id that is a path was accepted")
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	tokens, id := open(t, t.TempDir()), baremetal.NewUUID()
	good := token(t, tokens, id, "one")
	var heard []string
	var refuse error
	srv := httptest.NewServer(phonehome.Handler(tokens, func(_ context.Context, id string) error {
		heard = append(heard, id)
		return refuse
	}, slog.New(slog.DiscardHandler)))
	t.Cleanup(srv.Close)
	for _, tc := range []struct {
		name, method, token string
		refuse              error
		want, heard         int
	}{
		{"as cloud-init does", http.MethodPost, good, nil, 200, 1},
		{"as wget does, again", http.MethodGet, good, nil, 200, 1},
		{"unknown", http.MethodPost, "AAAA", nil, 404, 0},
		{"none", http.MethodPost, "", nil, 404, 0},
		{"other method", http.MethodDelete, good, nil, 405, 0},
		{"not noted", http.MethodPost, good, errors.New("disk full"), 503, 1},
	} {
		heard, refuse = nil, tc.refuse
		req, err := http.NewRequestWithContext(t.Context(), tc.method, phonehome.URL(srv.URL, tc.token), strings.NewReader("hostname=x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.want || len(heard) != tc.heard {
			t.Errorf("%s: answered %d and heard %v", tc.name, resp.StatusCode, heard)
		}
	}
}
