// Package packettest plugs network namespaces into a switch, sends frames of
// every kind from each to each, and judges every frame that arrives: whether it
// may be there, by what the ports of the two were when it was sent. It needs
// root.
package packettest
