// Package ironicapi speaks the OpenStack Ironic REST API (v1) over HTTP.
//
// Everything a client can see comes from two kinds of tables: the routes (who
// answers which method and path, since which microversion) and the fields of
// each resource (name, since which microversion, whether it can be set at
// creation or by PATCH, how it is written). The handlers only do what the
// tables cannot say.
//
// The package decides nothing about machines: it reads from a Store and asks a
// Conductor, and maps their errors to HTTP in one place.
package ironicapi
