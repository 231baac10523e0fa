// Package bus speaks version 1 of the backplane contract: topics and payloads
// with their limits, an MQTT 3.1.1 client that reconnects, and an MQTT broker
// that runs inside the program.
//
// The folder testdata defines the contract by examples; the simulated backplane
// unit and the firmware are tested against the same files.
package bus
