// Package contract proves that the firmware, as the Linux program bpu-sim,
// keeps the contract of the backplane bus (bus/testdata) on real brokers, over
// plain TCP and over TLS. It has tests only.
package contract
