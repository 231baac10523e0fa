package pxe_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"caddyshack/pxe"
)

func TestSightingsAreCountedAndBounded(t *testing.T) {
	t.Parallel()
	var s pxe.Sightings
	news, stop := s.Subscribe(4)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	addr := netip.MustParseAddr("10.0.0.5")
	s.Record(pxe.Sighting{Kind: pxe.SeenTFTP, Time: start, MAC: "dc:a6:32:00:00:01", Serial: "0a1b2c3d", Address: addr, Model: "pi4", Name: "start4.elf"})
	s.Record(pxe.Sighting{Kind: pxe.SeenTFTP, Time: start.Add(time.Second), MAC: "dc:a6:32:00:00:01", Serial: "0a1b2c3d", Address: addr, Name: "config.txt"})
	list := s.List(start)
	if len(list) != 1 {
		t.Fatalf("%d sightings, want one that is counted: %+v", len(list), list)
	}
	if g := list[0]; g.Count != 2 || !g.First.Equal(start) || !g.Time.Equal(start.Add(time.Second)) || g.Model != "pi4" || g.Name != "config.txt" {
		t.Errorf("sighting %+v", g)
	}
	if g := <-news; g.Count != 1 || g.Name != "start4.elf" {
		t.Errorf("first news %+v", g)
	}
	if g := <-news; g.Count != 2 {
		t.Errorf("second news %+v", g)
	}
	stop()
	if _, open := <-news; open {
		t.Error("the channel is open after stop")
	}
	if got := s.List(start.Add(2 * time.Second)); len(got) != 0 {
		t.Errorf("later than all: %+v", got)
	}
	for i := range 5000 {
		s.Record(pxe.Sighting{Kind: pxe.SeenBootDHCP, Time: start.Add(time.Minute + time.Duration(i)), MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&255)})
	}
	list = s.List(time.Time{})
	if len(list) != 1024 || list[len(list)-1].MAC != "02:00:00:00:13:87" {
		t.Errorf("after a flood: %d sightings, the last %+v", len(list), list[len(list)-1])
	}
}
