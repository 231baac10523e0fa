// Package ovs drives the VLANs of an Open vSwitch bridge through its
// configuration database (OVSDB, RFC 7047), with the columns tag, trunks,
// vlan_mode and protected of its ports.
//
// A port that carries nothing is written as a trunk of VLAN 4095, which no
// frame of an operating system has, and protected, so that not even such
// frames get from one of them to another: Open vSwitch has no setting for "no
// VLAN at all", since an empty trunks means all of them.
package ovs
