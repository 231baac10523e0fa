// Package provision sets up backplane units over their USB serial port and
// updates the firmware of a chassis over the bus, one unit at a time.
package provision
