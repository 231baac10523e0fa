// Package inspection applies inspection rules to what an inspection found. It
// does no I/O of its own: it changes plain data, which the conductor then keeps.
//
// Conditions, actions, their arguments and the {placeholders} in them are those
// of Ironic's inspection rules (API 1.96).
package inspection
