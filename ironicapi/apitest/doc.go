// Package apitest is an in-memory twin of what stands behind the API: a store
// and a conductor in one, whose machines settle at once. It is for tests and
// benchmarks of the API and of its clients; it keeps nothing, and its locks
// are those a test puts on a node.
package apitest
