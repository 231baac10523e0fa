// Package netboot is the inspect interface netboot of the hardware type caddy:
// it finds out which Raspberry Pi sits in a slot. It gives the slot power, hears
// what the Pi asks DHCP and TFTP for, and takes the power away again.
//
// A request does not tell from which slot it comes. So one slot at a time is
// inspected, it must be off before, and no other slot may have power whose Pi
// nobody knows. A Pi that is known as another node's is that node's as long as
// that one has power, and has been moved otherwise.
package netboot
