// Package store keeps the vocabulary of package baremetal in a database:
// SQLite for one machine, PostgreSQL for more. Both run the same plain SQL.
//
// # Rows
//
// Every field of a node is a column. Objects are JSON text, times are
// microseconds since 1970 in UTC (0 = zero time), and the empty string stands
// for "none", so that no column that is compared is ever NULL. Identifiers
// grow in the order in which transactions commit, which is what makes paging
// by order of creation see every node that is there all the time.
//
// # Writes
//
// On SQLite one goroutine owns the one writing connection. It takes all
// changes that wait for it, runs each in a savepoint, commits them together
// and answers all: with synchronous=FULL a hundred writers share one fsync,
// and an answered change survives a power cut. On PostgreSQL each change is a
// transaction with row locks, run again with jitter when it meets a deadlock
// or a serialization failure.
//
// A function given to UpdateNode and its like runs inside that transaction. It
// must not call the store, and may run more than once.
//
// # Clocks
//
// Leases, wake times and wait deadlines are measured with Store.Now. On
// PostgreSQL that is the database's clock, asked every few seconds and carried
// on in between with this machine's monotonic clock. On SQLite it starts at
// the wall clock when the store is opened and goes on monotonically, so a jump
// of the wall clock changes nothing. Each write also notes how store time,
// wall time and the machine's uptime stand to each other; when the store is
// opened again, wake times, deadlines and leases are moved by the difference
// between the new clock and the noted one. After a restart of the process they
// keep exactly the time they had left, whatever happened to the wall clock;
// after a reboot they lose what the wall clocks say has passed, and nothing if
// the wall clock went backwards. CreatedAt, UpdatedAt and the times of history
// are the wall clock's on SQLite and the database's on PostgreSQL.
package store
