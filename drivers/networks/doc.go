// Package networks is the network interface switch of the hardware type caddy:
// it knows the networks of the configuration and where each port of each node
// belongs, and moves the ports there through drivers/switches.
//
// Where a port belongs follows from rows and configuration alone (Driver.Wanted):
// the kind of network that its node is in, its virtual interface, and
// extra.switchport. So a switch that has forgotten everything can be made right
// from the database, and what a crash broke off is known.
package networks
