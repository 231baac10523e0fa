package baremetal

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an Error is. Each kind has one HTTP status,
// chosen in one place of the API.
type Kind int

const (
	// Internal is a bug or a failure of something we depend on (500).
	Internal Kind = iota
	// Invalid is a request that can never work as it stands (400).
	Invalid
	// Unauthorized is a caller who has not said who they are (401).
	Unauthorized
	// Forbidden is a caller who may not, or a protected node (403).
	Forbidden
	// NotFound is an object that does not exist, or may not be seen (404).
	NotFound
	// MethodNotAllowed is a verb the resource does not have (405).
	MethodNotAllowed
	// NotAcceptable is something newer than the requested microversion (406).
	NotAcceptable
	// Conflict is a state that forbids the request; trying again later may work (409).
	Conflict
	// Locked is a node that somebody else works on (409); clients retry it.
	Locked
	// TooLarge is a body above the limit (413).
	TooLarge
	// Unavailable is a service that cannot serve now (503).
	Unavailable
	// ClaimLost says that the claim on a node is no longer ours: stop at once, touch nothing more.
	ClaimLost
)

var kindNames = map[Kind]string{
	Internal: "internal", Invalid: "invalid", Unauthorized: "unauthorized", Forbidden: "forbidden",
	NotFound: "not found", MethodNotAllowed: "method not allowed", NotAcceptable: "not acceptable",
	Conflict: "conflict", Locked: "locked", TooLarge: "too large", Unavailable: "unavailable", ClaimLost: "claim lost",
}

func (k Kind) String() string { return kindNames[k] }

// Error is the one error type that crosses rooms. Message is for people: what
// is wrong and what to do. Err, if any, is the cause.
type Error struct {
	Kind    Kind
	Message string
	Err     error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind; %w keeps the cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the first Error in err's chain, Internal if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// IsKind tells whether err is an Error of the kind.
func IsKind(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
