// Package pi is the virtual Raspberry Pi of the simulated chassis. When its
// slot gets power it does over real sockets what a Pi's boot ROM, firmware and
// kernel do: it asks TFTP for its files in a Pi's order, with the probes and
// the many misses, makes of config.txt and cmdline.txt what the firmware makes
// of them, mounts its root over NFSv3, reads its init, writes a file, prints a
// boot log on its serial line and then answers a few commands there.
//
// Nothing of the fetched system is executed, unless the Pi has a [Computer] to
// which it hands the kernel. When power is cut everything
// stops at once, in the middle of whatever it was doing.
//
// The package also has the devices of a chassis that are not Pis, see [Plain].
package pi
