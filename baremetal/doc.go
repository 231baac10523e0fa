// Package baremetal is the vocabulary of the house: nodes, ports, chassis,
// provision states with their transitions, steps, and the kinds of errors.
// It does no I/O and imports nothing of ours.
//
// Names and values are those of the OpenStack Ironic API, so that what a
// reader knows from there holds here.
package baremetal
