package ironicapi

import "net/http"

// Roles is a set of Keystone's default roles.
type Roles uint8

// The roles that matter here; others are ignored.
const (
	Reader Roles = 1 << iota
	Member
	Manager
	Admin
	Service

	allRoles = Reader | Member | Manager | Admin | Service
)

// RolesOf reads the names of a token's roles. An admin is also a manager, a
// manager also a member, and a member also a reader, whether or not Keystone
// names those too; a service is nothing else.
func RolesOf(names ...string) Roles {
	var r Roles
	for _, name := range names {
		switch name {
		case "admin":
			r |= Admin | Manager | Member | Reader
		case "manager":
			r |= Manager | Member | Reader
		case "member":
			r |= Member | Reader
		case "reader":
			r |= Reader
		case "service":
			r |= Service
		}
	}
	return r
}

// has tells whether one of the roles wanted is there.
func (r Roles) has(wanted Roles) bool { return r&wanted != 0 }

// Identity is who asks, and what that allows. The zero value may do nothing.
type Identity struct {
	// User is the name for logs and history; "" with noauth.
	User string
	// System are the roles that count for everything in the service.
	System Roles
	// Project is the id of the project the caller acts for, "" for none, and
	// InProject the roles there: they count for what the project owns or was lent.
	Project   string
	InProject Roles
}

// Administrator is somebody who may do everything.
func Administrator(user string) Identity { return Identity{User: user, System: allRoles} }

// Denial is the refusal of a request that did not say who asks.
type Denial struct {
	Status int
	Header http.Header
	Body   []byte // JSON
}

// Authenticator tells who is asking. It is called by many requests at once.
type Authenticator interface {
	Authenticate(r *http.Request) (Identity, *Denial)
}
