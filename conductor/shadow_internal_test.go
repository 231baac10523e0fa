package conductor

import (
	"strings"
	"testing"
)

// TestHashPassword uses what `openssl passwd -6` answers.
func TestHashPassword(t *testing.T) {
	t.Parallel()
	const want = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
	if got := shadowEntry("Hello world!", "saltstring"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	one, err := hashPassword("secret")
	if err != nil {
		t.Fatal(err)
	}
	two, err := hashPassword("secret")
	if err != nil || one == two || !strings.HasPrefix(one, "$6$") || len(one) != 3+16+1+86 {
		t.Errorf("hashes %q and %q, %v", one, two, err)
	}
}
