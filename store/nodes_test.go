package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/store"
)

func newNode(name string) baremetal.Node {
	return baremetal.Node{UUID: baremetal.NewUUID(), Name: name, Driver: "fake-hardware", ProvisionState: baremetal.Enroll,
		Interfaces: map[string]string{}}
}

func create(t testing.TB, s *store.Store, n baremetal.Node) baremetal.Node {
	t.Helper()
	if err := s.CreateNode(t.Context(), &n); err != nil {
		t.Fatalf("creating node %q: %v", n.Name, err)
	}
	return n
}

func read(t testing.TB, s *store.Store, ident string) baremetal.Node {
	t.Helper()
	n, err := s.Node(t.Context(), ident)
	if err != nil {
		t.Fatalf("reading node %q: %v", ident, err)
	}
	return n
}

func update(t testing.TB, s *store.Store, ident string, change func(*baremetal.Node)) baremetal.Node {
	t.Helper()
	n, err := s.UpdateNode(t.Context(), ident, func(n *baremetal.Node) error { change(n); return nil })
	if err != nil {
		t.Fatalf("updating node %q: %v", ident, err)
	}
	return n
}

func wantError(t testing.TB, err error, kind baremetal.Kind, message string) {
	t.Helper()
	if err == nil || baremetal.KindOf(err) != kind || err.Error() != message {
		t.Errorf("error %v (%v), want %q (%v)", err, baremetal.KindOf(err), message, kind)
	}
}

// fillIn gives every field of a struct a value of its own.
func fillIn(v reflect.Value, count *int) {
	for i := range v.NumField() {
		f := v.Field(i)
		*count++
		switch f.Interface().(type) {
		case baremetal.Object:
			f.SetString(fmt.Sprintf(`{"k":%d}`, *count))
		case time.Time:
			f.Set(reflect.ValueOf(time.UnixMicro(int64(*count) * 1_000_001).UTC()))
		case *bool:
			yes := *count%2 == 0
			f.Set(reflect.ValueOf(&yes))
		case map[string]string:
			m := map[string]string{}
			for _, kind := range baremetal.InterfaceKinds() {
				m[kind] = kind + "-implementation"
			}
			f.Set(reflect.ValueOf(m))
		case []baremetal.HistoryEntry: // goes to the history, see TestEventsOfAChange
		case []baremetal.Step:
			f.Set(reflect.ValueOf([]baremetal.Step{{Interface: "deploy", Name: fmt.Sprint(*count), Priority: *count, Local: true}}))
		default:
			switch f.Kind() {
			case reflect.String:
				f.SetString(fmt.Sprintf("text %d 'é\\", *count))
			case reflect.Int, reflect.Int64:
				f.SetInt(int64(*count))
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Struct:
				fillIn(f, count)
			default:
				panic("no value for " + f.Type().String())
			}
		}
	}
}

func TestEveryFieldOfANodeIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		chassis := baremetal.Chassis{UUID: baremetal.NewUUID()}
		if err := s.CreateChassis(t.Context(), &chassis); err != nil {
			t.Fatal(err)
		}
		var full baremetal.Node
		count := 0
		fillIn(reflect.ValueOf(&full).Elem(), &count)
		full.UUID, full.ChassisUUID = baremetal.NewUUID(), chassis.UUID
		for _, n := range []baremetal.Node{full, newNode("empty")} {
			n = create(t, s, n)
			if n.ID == 0 || n.Work.Version != 1 || time.Since(n.CreatedAt).Abs() > time.Minute {
				t.Errorf("id %d, version %d, created %s", n.ID, n.Work.Version, n.CreatedAt)
			}
			if diff := cmp.Diff(n, read(t, s, n.UUID)); diff != "" {
				t.Errorf("read (+) is not what was created (-):\n%s", diff)
			}
		}
		// The same through an update of all fields.
		n := create(t, s, newNode("updated"))
		full.Name, full.InstanceUUID = "other", "other instance"
		got := update(t, s, n.UUID, func(n *baremetal.Node) { *n = full })
		if got.UUID != n.UUID || got.ID != n.ID || got.CreatedAt != n.CreatedAt || got.Work.Version != 2 {
			t.Errorf("an update changed what it may not: %+v", got)
		}
		if diff := cmp.Diff(got, read(t, s, n.UUID)); diff != "" {
			t.Errorf("read (+) is not what was updated (-):\n%s", diff)
		}
		if got.Extra != full.Extra || got.Work.Journal != full.Work.Journal {
			t.Errorf("not updated: %+v", got)
		}
	})
}

func TestNodeConflicts(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		a := newNode("a")
		a.InstanceUUID = baremetal.NewUUID()
		a = create(t, s, a)
		sameUUID := newNode("b")
		sameUUID.UUID = a.UUID
		wantError(t, s.CreateNode(t.Context(), &sameUUID), baremetal.Conflict, "A node with UUID "+a.UUID+" already exists.")
		sameName := newNode("a")
		wantError(t, s.CreateNode(t.Context(), &sameName), baremetal.Conflict, "A node with name a already exists.")
		sameInstance := newNode("c")
		sameInstance.InstanceUUID = a.InstanceUUID
		associated := "Instance " + a.InstanceUUID + " is already associated with a node, it cannot be associated with this other node "
		wantError(t, s.CreateNode(t.Context(), &sameInstance), baremetal.Conflict, associated+sameInstance.UUID)

		other := create(t, s, newNode("A")) // names differ by case
		_, err := s.UpdateNode(t.Context(), "A", func(n *baremetal.Node) error { n.Name = "a"; return nil })
		wantError(t, err, baremetal.Conflict, "A node with name a already exists.")
		_, err = s.UpdateNode(t.Context(), "A", func(n *baremetal.Node) error { n.InstanceUUID = a.InstanceUUID; return nil })
		wantError(t, err, baremetal.Conflict, associated+other.UUID)
		create(t, s, newNode("")) // many may be without a name
		create(t, s, newNode(""))
	})
}

func TestNodeNotFound(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		create(t, s, newNode(""))
		id := baremetal.NewUUID()
		for _, ident := range []string{id, "nobody", "", "' OR ''='"} {
			missing := "Node " + ident + " could not be found."
			_, err := s.Node(t.Context(), ident)
			wantError(t, err, baremetal.NotFound, missing)
			_, err = s.UpdateNode(t.Context(), ident, func(*baremetal.Node) error { return errors.New("called") })
			wantError(t, err, baremetal.NotFound, missing)
			wantError(t, s.DeleteNode(t.Context(), ident, func(*baremetal.Node) error { return nil }), baremetal.NotFound, missing)
		}
		n := newNode("in a chassis")
		n.ChassisUUID = id
		wantError(t, s.CreateNode(t.Context(), &n), baremetal.Invalid, "Chassis "+id+" could not be found.")
	})
}

func TestWhatAnUpdateTouches(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		made := create(t, s, newNode("n"))
		refused := errors.New("refused")
		if _, err := s.UpdateNode(t.Context(), "n", func(n *baremetal.Node) error { n.LastError = "x"; return refused }); err != refused { //nolint:errorlint // as it is
			t.Errorf("error %v, want change's own", err)
		}
		if got := read(t, s, "n"); got.LastError != "" || got.Work.Version != 1 {
			t.Errorf("written although refused: %+v", got)
		}
		if got := update(t, s, "n", func(*baremetal.Node) {}); got.Work.Version != 1 || !got.UpdatedAt.IsZero() {
			t.Errorf("nothing changed, but version %d, updated %s", got.Work.Version, got.UpdatedAt)
		}
		got := update(t, s, "n", func(n *baremetal.Node) { n.PowerState, n.Work.Place = baremetal.PowerOn, "here" })
		if got.Work.Version != 2 || !got.UpdatedAt.IsZero() {
			t.Errorf("power and work only, but version %d, updated %s", got.Work.Version, got.UpdatedAt)
		}
		got = update(t, s, "n", func(n *baremetal.Node) { n.Extra = `{"a":1}` })
		if got.Work.Version != 3 || got.UpdatedAt.Before(made.CreatedAt) {
			t.Errorf("version %d, updated %s", got.Work.Version, got.UpdatedAt)
		}
	})
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		var wg sync.WaitGroup
		const writers, each = 10, 10
		for range writers {
			wg.Go(func() {
				for range each {
					update(t, s, n.UUID, func(n *baremetal.Node) { n.Work.StepIndex++ })
				}
			})
		}
		wg.Wait()
		if got := read(t, s, "n"); got.Work.StepIndex != writers*each || got.Work.Version != writers*each+1 {
			t.Errorf("%d steps, version %d after %d updates", got.Work.StepIndex, got.Work.Version, writers*each)
		}
	})
}

// A change that panics ends in its caller, and leaves the store usable and unchanged.
func TestPanicInAChange(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		create(t, s, newNode("n"))
		func() {
			defer func() {
				if recover() != "oh" {
					t.Error("the panic did not reach the caller")
				}
			}()
			update(t, s, "n", func(n *baremetal.Node) { n.Name = "x"; panic("oh") })
		}()
		update(t, s, "n", func(n *baremetal.Node) { n.LastError = "fine" })
	})
}

func TestDeleteNode(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		p := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: n.UUID, Address: "02:00:00:00:00:01"}
		if err := s.CreatePort(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
		if err := s.AppendHistory(t.Context(), &baremetal.HistoryEntry{NodeUUID: n.UUID}); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("refused")
		if err := s.DeleteNode(t.Context(), "n", func(*baremetal.Node) error { return refused }); err != refused { //nolint:errorlint // as it is
			t.Errorf("error %v", err)
		}
		if err := s.DeleteNode(t.Context(), "n", func(*baremetal.Node) error { return nil }); err != nil {
			t.Fatal(err)
		}
		_, err := s.Port(t.Context(), p.UUID)
		wantError(t, err, baremetal.NotFound, "Port "+p.UUID+" could not be found.")
		if h, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID}); err != nil || len(h) != 0 {
			t.Errorf("history %v, error %v", h, err)
		}
		if again := create(t, s, newNode("n")); again.ID <= n.ID {
			t.Errorf("id %d after %d", again.ID, n.ID)
		}
	})
}
