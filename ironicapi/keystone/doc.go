// Package keystone tells who sends a request to the API by asking OpenStack's
// Identity service (Keystone) about the token that came with it.
//
// Tokens that were checked are remembered for a while, by a keyed hash. Settings
// can be read from the section [keystone_authtoken] that other OpenStack
// services use (see ReadINI).
package keystone
