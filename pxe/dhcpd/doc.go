// Package dhcpd gives Raspberry Pis their addresses and tells them where their
// boot files are, or only the latter beside a DHCP server that is there
// already (proxy). It answers machines that are registered with it and, if
// wanted, the firmware of unknown Pis; everybody else is left alone.
//
// An address belongs to a registered machine for as long as it is registered:
// a kernel that got its address by ip=dhcp never renews, and a Pi 3B never
// confirms the offer that it takes. State is therefore kept by MAC and
// committed with the offer, and is never found by transaction id: a Pi 3B and
// 3B+ always use the same one.
//
// What a Pi sends and takes follows the Raspberry Pi documentation on network
// boot and the release notes of its EEPROM.
package dhcpd
