//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"time"
)

// settleTimeout is for anything but a deploy with the first making of the demo
// image, for which is deployTimeout.
const (
	settleTimeout = time.Minute
	deployTimeout = 5 * time.Minute
)

// awaitNode waits until the node is as wanted and idle, and returns it.
func (s *site) awaitNode(ident, what string, ok func(node) bool) node {
	s.t.Helper()
	return s.awaitNodeWithin(settleTimeout, ident, what, ok)
}

func (s *site) awaitNodeWithin(within time.Duration, ident, what string, ok func(node) bool) node {
	t := s.t
	t.Helper()
	var n node
	deadline := time.Now().Add(within)
	for {
		n = s.api.node(ident)
		if n.Reservation == nil && n.TargetPower == nil && ok(n) {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not %s within %s: power %q (target %q), %s (target %q), held by %q, last_error %q; history %q", ident, what, within,
				text(n.Power), text(n.TargetPower), n.Provision, text(n.TargetState), text(n.Reservation), text(n.LastError), s.api.history(ident))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// awaitPower waits until the nodes' power is as wanted and nothing is going on.
func (s *site) awaitPower(want string, idents ...string) {
	s.t.Helper()
	for _, ident := range idents {
		s.awaitNode(ident, fmt.Sprintf("%q", want), func(n node) bool { return text(n.Power) == want })
	}
}

// awaitState waits until the node is in one of the provision states.
func (s *site) awaitState(ident string, want ...string) node {
	s.t.Helper()
	return s.awaitNode(ident, fmt.Sprint(want), func(n node) bool { return slices.Contains(want, n.Provision) })
}

// available takes a node from enroll to available.
func (s *site) available(ident string) {
	s.t.Helper()
	s.api.provision(ident, "manage")
	s.awaitState(ident, "manageable")
	s.api.provision(ident, "provide")
	s.awaitState(ident, "available")
}

// deploy brings an available node to active with the demo image.
func (s *site) deploy(ident string) {
	s.t.Helper()
	s.api.provision(ident, "active")
	n := s.awaitDeployed(ident)
	if n.Provision != "active" {
		s.t.Fatalf("the deploy of %s failed: %s", ident, text(n.LastError))
	}
}

// awaitDeployed waits for the end of a deploy.
func (s *site) awaitDeployed(ident string) node {
	s.t.Helper()
	return s.awaitNodeWithin(deployTimeout, ident, "deployed", func(n node) bool { return n.Provision == "active" || n.Provision == "deploy failed" })
}
