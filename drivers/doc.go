// Package drivers holds the small contracts between the conductor and the
// things it drives, and the registry of hardware types. It imports none of its
// subfolders: each of those drives one kind of thing and is registered by the
// program.
//
// Every method takes the Task of the node under work and must be re-entrant:
// after a crash the next claimant calls it again with the same journal.
package drivers
