// Package ovs drives the VLANs of an Open vSwitch bridge through its
// configuration database (OVSDB, RFC 7047), with the columns tag, trunks,
// vlan_mode and protected of its ports.
//
// A port that carries nothing is written as an access port of VLAN 4095, which
// no network has, and protected, so that such ports do not reach each other:
// Open vSwitch has no setting for "no VLAN at all". Uplinks should list their
// trunks, or they carry that VLAN too.
//
// A committed change is not yet a safe one. Three things of ovs-vswitchd pass
// by the VLANs of a port after they have changed, and each Do sees to them
// before it returns (seen with real frames in version 3.1):
//
//   - flows of before live until the threads that check them come by;
//   - a MAC address can be learned once more after those of the port were
//     forgotten, from a frame that comes before its new VLANs count, or from a
//     flow that is removed; and frames for a learned address are sent without a
//     look at the port's VLANs, only at whether both ports are protected;
//   - when the list of VLANs of a port (trunks) changes, frames are forwarded for
//     a moment by the memory of the old list, which is in other use by then. So
//     before such a change the whole bridge stops forwarding (fail_mode secure
//     without flows), for some milliseconds.
package ovs
