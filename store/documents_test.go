package store_test

import (
	"errors"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, engine := range storetest.Engines() {
		t.Run(engine.Name, func(t *testing.T) {
			t.Parallel()
			testDocuments(t, storetest.Open(t, engine.Config(t)))
		})
	}
}

func testDocuments(t *testing.T, s *store.Store) {
	ctx := t.Context()
	n := baremetal.Node{UUID: baremetal.NewUUID(), Driver: "fake-hardware", ProvisionState: baremetal.Enroll}
	if err := s.CreateNode(ctx, &n); err != nil {
		t.Fatal(err)
	}
	set := func(body baremetal.Object) func(baremetal.Object) (baremetal.Object, error) {
		return func(baremetal.Object) (baremetal.Object, error) { return body, nil }
	}
	if _, found, err := s.Document(ctx, n.UUID, baremetal.BIOSDocument); found || err != nil {
		t.Fatalf("before the first: %v %v", found, err)
	}
	if err := s.ChangeDocument(ctx, n.UUID, baremetal.BIOSDocument, 0, set(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	d, found, err := s.Document(ctx, n.UUID, baremetal.BIOSDocument)
	if !found || err != nil || d.Body != `{"a":1}` || d.CreatedAt.IsZero() || !d.UpdatedAt.IsZero() {
		t.Errorf("created: %+v %v %v", d, found, err)
	}
	err = s.ChangeDocument(ctx, n.UUID, baremetal.BIOSDocument, 0, func(old baremetal.Object) (baremetal.Object, error) {
		return old.With("b", 2), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d, _, _ = s.Document(ctx, n.UUID, baremetal.BIOSDocument); d.Body != `{"a":1,"b":2}` || d.UpdatedAt.IsZero() {
		t.Errorf("changed: %+v", d)
	}
	no := errors.New("no")
	if err := s.ChangeDocument(ctx, n.UUID, baremetal.BIOSDocument, 0, func(baremetal.Object) (baremetal.Object, error) { return "", no }); !errors.Is(err, no) {
		t.Errorf("refused: %v", err)
	}
	if _, found, _ := s.Document(ctx, n.UUID, baremetal.InventoryDocument); found {
		t.Error("kinds are not kept apart")
	}
	if err := s.ChangeDocument(ctx, n.UUID, baremetal.BIOSDocument, 7, set("")); !baremetal.IsKind(err, baremetal.ClaimLost) {
		t.Errorf("with a claim that is not held: %v", err)
	}
	if err := s.ChangeDocument(ctx, n.UUID, baremetal.BIOSDocument, 0, set("")); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Document(ctx, n.UUID, baremetal.BIOSDocument); found {
		t.Error("the empty object did not remove it")
	}
	if err := s.ChangeDocument(ctx, baremetal.NewUUID(), baremetal.BIOSDocument, 0, set(`{"a":1}`)); !baremetal.IsKind(err, baremetal.NotFound) {
		t.Errorf("of a missing node: %v", err)
	}
	if err := s.ChangeDocument(ctx, n.UUID, baremetal.InventoryDocument, 0, set(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteNode(ctx, n.UUID, func(*baremetal.Node) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Document(ctx, n.UUID, baremetal.InventoryDocument); found {
		t.Error("it outlived its node")
	}
}
