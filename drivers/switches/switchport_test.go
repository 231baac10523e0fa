package switches_test

import (
	"encoding/json"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

func TestParseSwitchport(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]switches.PortConfig{
		`{"mode":"access","native_vlan":250}`: switches.Access(250),
		`{"mode":"trunk","allowed_vlans":[10,"20-22"],"mtu":9000}`: {
			Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(10, 20, 21, 22), MTU: 9000},
		`{"mode":"hybrid","native_vlan":5,"allowed_vlans":"10-11"}`: {
			Mode: switches.ModeHybrid, NativeVLAN: 5, AllowedVLANs: switches.VLANs(10, 11)},
	} {
		got, err := switches.ParseSwitchport([]byte(text))
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

func TestParseSwitchportRefuses(t *testing.T) {
	t.Parallel()
	for text, hint := range map[string]string{
		``:                                     "write it like",
		`7`:                                    "write it like",
		`{"mode":"acess","native_vlan":1}`:     "use access, trunk or hybrid",
		`{"mode":"idle"}`:                      "use access, trunk or hybrid",
		`{"mode":"access"}`:                    "needs native_vlan",
		`{"mode":"access","native_vlan":-1}`:   "from 1 to 4094",
		`{"mode":"access","native_vlan":4095}`: "from 1 to 4094",
		`{"mode":"access","native_vlan":"x"}`:  "write it like",
		`{"mode":"access","native_vlan":1e99}`: "write it like",
		`{"mode":"access","native_vlan":7,"allowed_vlans":[8]}`: "no allowed_vlans",
		`{"mode":"trunk"}`:                                           "needs allowed_vlans",
		`{"mode":"trunk","allowed_vlans":[0]}`:                       "from 1 to 4094",
		`{"mode":"trunk","allowed_vlans":[4095]}`:                    "from 1 to 4094",
		`{"mode":"trunk","allowed_vlans":["9-3"]}`:                   "lower one first",
		`{"mode":"trunk","allowed_vlans":["3-"]}`:                    "write a number",
		`{"mode":"hybrid","allowed_vlans":[7]}`:                      "needs native_vlan",
		`{"mode":"access","native_vlan":7,"mtu":67}`:                 "from 68 to 9216",
		`{"mode":"access","native_vlan":7,"mtu":9217}`:               "from 68 to 9216",
		`{"mode":"access","native_vlan":7,"nativ_vlan":7}`:           "write it like",
		`{"mode":"access","native_vlan":7,"lag_name":"lag1"}`:        "leave it out",
		`{"mode":"trunk","allowed_vlans":[1,2,[3]]}`:                 "write a number",
		`{"mode":"trunk","allowed_vlans":[99999999999999999999999]}`: "write a number",
	} {
		_, err := switches.ParseSwitchport([]byte(text))
		if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: got %v, want Invalid with %q", text, err, hint)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"access/native_vlan=100", "trunk/native_vlan=1/allowed_vlans=10,20-30", "hybrid/native_vlan=2/allowed_vlans=3/mtu=1500"} {
		c, err := switches.ParseNetwork(text)
		if err != nil || c.String() != text {
			t.Errorf("%s: got %s, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "access", "access/native_vlan", "access/native_vlan=1/native_vlan=2", "access/vlan=1", "access/native_vlan=0", "trunk/allowed_vlans=4095", "access/native_vlan=1/mtu=big"} {
		if c, err := switches.ParseNetwork(text); !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "write it like") {
			t.Errorf("%s: got %s, %v", text, c, err)
		}
	}
}

func TestVLANSet(t *testing.T) {
	t.Parallel()
	s, err := switches.ParseVLANs("4094, 10,20-22")
	if err != nil || s.String() != "10,20-22,4094" || s.Len() != 5 {
		t.Fatalf("got %s, %v", s, err)
	}
	b, err := json.Marshal(s)
	if err != nil || string(b) != "[10,20,21,22,4094]" {
		t.Fatalf("got %s, %v", b, err)
	}
	var back switches.VLANSet
	if err := json.Unmarshal(b, &back); err != nil || back != s {
		t.Fatalf("got %s, %v", back, err)
	}
}
