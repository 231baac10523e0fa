// Package conductor brings each node to the state asked for: it accepts
// intents, claims nodes, runs steps, switches power, and survives crashes and
// the loss of its fellows. The node's row is the only truth; see claim.go.
package conductor
