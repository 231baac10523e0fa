package ovs

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"caddyshack/drivers/switches"
)

// What ovs-vsctl shows of ports, and what it means.
func TestState(t *testing.T) {
	t.Parallel()
	all := switches.VLANRange(1, 4094)
	ends := switches.VLANs(0, 4095)
	for text, want := range map[string]switches.PortState{
		`{"vlan_mode":["set",[]],"tag":["set",[]],"trunks":["set",[]],"protected":false}`:       {Tagged: all, Stray: ends},
		`{"vlan_mode":["set",[]],"tag":10,"trunks":["set",[]],"protected":false}`:               {Native: 10},
		`{"vlan_mode":["set",[]],"tag":10,"trunks":["set",[20,30]],"protected":true}`:           {Native: 10, Isolated: true},
		`{"vlan_mode":["set",[]],"tag":["set",[]],"trunks":20,"protected":false}`:               {Tagged: switches.VLANs(20)},
		`{"vlan_mode":"trunk","tag":10,"trunks":["set",[0,20]],"protected":false}`:              {Tagged: switches.VLANs(20), Stray: switches.VLANs(0)},
		`{"vlan_mode":"trunk","tag":["set",[]],"trunks":4095,"protected":false}`:                {Stray: switches.VLANs(4095)},
		`{"vlan_mode":"access","tag":["set",[]],"trunks":["set",[]],"protected":false}`:         {Stray: switches.VLANs(0)},
		`{"vlan_mode":"access","tag":4095,"trunks":["set",[]],"protected":false}`:               {Stray: switches.VLANs(4095)},
		`{"vlan_mode":"native-untagged","tag":10,"trunks":["set",[20,21]],"protected":false}`:   {Native: 10, Tagged: switches.VLANs(20, 21)},
		`{"vlan_mode":"native-untagged","tag":["set",[]],"trunks":["set",[]],"protected":true}`: {Tagged: all, Stray: ends, Isolated: true},
		`{"vlan_mode":"native-tagged","tag":10,"trunks":["set",[10,20]],"protected":false}`:     {Tagged: switches.VLANs(20), Stray: switches.VLANs(10)},
		`{"vlan_mode":"dot1q-tunnel","tag":10,"trunks":["set",[]],"protected":false}`:           {Stray: switches.VLANs(10)},
	} {
		var v vlans
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := v.state(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestColumnsSayWhatIsWanted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := switches.PortState{
			Native:   rapid.IntRange(0, switches.LastVLAN).Draw(t, "native"),
			Tagged:   switches.VLANs(rapid.SliceOf(rapid.IntRange(switches.FirstVLAN, switches.LastVLAN)).Draw(t, "tagged")...),
			Isolated: rapid.Bool().Draw(t, "isolated"),
		}
		want.Tagged.Remove(want.Native)
		if want.Carries().Empty() {
			want.Isolated = false
		}
		b, err := json.Marshal(columns(want))
		if err != nil {
			t.Fatal(err)
		}
		var v vlans
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		if got := v.state(); got != want {
			t.Errorf("%s: got %s, want %s", b, got, want)
		}
	})
}
