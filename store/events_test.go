package store_test

import (
	"errors"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/store"
)

// The events of a change are in the history with it, or neither is there.
func TestEventsOfAChange(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		event := func(text string) []baremetal.HistoryEntry {
			return []baremetal.HistoryEntry{{Severity: baremetal.SeverityInfo, EventType: "transition", Event: text}}
		}
		got := update(t, s, n.UUID, func(n *baremetal.Node) { n.Description, n.Work.Events = "changed", event("kept") })
		if got.Work.Events != nil {
			t.Errorf("the events came back: %v", got.Work.Events)
		}
		refused := errors.New("refused")
		_, err := s.UpdateNode(t.Context(), n.UUID, func(n *baremetal.Node) error {
			n.Work.Events = event("lost")
			return refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
		if _, err := s.UpdateClaimed(t.Context(), n.UUID, 99, func(n *baremetal.Node) error {
			n.Work.Events = event("of a lost claim")
			return nil
		}); !baremetal.IsKind(err, baremetal.ClaimLost) {
			t.Errorf("got %v", err)
		}
		h, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
		if err != nil || len(h) != 1 || h[0].Event != "kept" || h[0].NodeUUID != n.UUID {
			t.Errorf("history %+v, %v", h, err)
		}
	})
}
