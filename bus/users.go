package bus

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Role says what a user of the broker may do.
type Role int

const (
	// RoleUnit may publish and read below its own caddyshack/v1/bpu/<user>/
	// and read the controller's status; its name is the unit's id.
	RoleUnit Role = iota
	// RoleController may publish and read everything below caddyshack/v1/.
	RoleController
)

// User may connect to the broker.
type User struct {
	Name     string
	Password string
	Role     Role
}

func checkUsers(users []User) error {
	if len(users) == 0 {
		return errors.New("no users: a broker without credentials would let anybody switch every slot")
	}
	seen := map[string]bool{}
	for _, u := range users {
		// The same set for all: a name with a wildcard in it could match other users' topics.
		if !plainName(u.Name, maxUnitID) {
			return fmt.Errorf("user %q: want 1 to %d of a-z, 0-9 and -", u.Name, maxUnitID)
		}
		if u.Password == "" {
			return fmt.Errorf("user %q: the password is empty", u.Name)
		}
		if seen[u.Name] {
			return fmt.Errorf("user %q: there twice", u.Name)
		}
		seen[u.Name] = true
	}
	return nil
}

// natsUsers translates roles to subjects: the broker maps MQTT's "/" to "." and
// delivers QoS 1 subscriptions below $MQTT.sub.
func natsUsers(users []User) []*server.User {
	const root = "caddyshack.v1"
	var out []*server.User
	for _, u := range users {
		// MQTT's "a/#" includes "a" itself, so a subscription to it needs both subjects.
		publish, subscribe := []string{root + ".>"}, []string{root, root + ".>"}
		if u.Role == RoleUnit {
			own := root + ".bpu." + u.Name
			publish, subscribe = []string{own + ".>"}, []string{own, own + ".>", root + ".controller.status"}
		}
		out = append(out, &server.User{
			Username: u.Name, Password: u.Password,
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: publish},
				Subscribe: &server.SubjectPermission{Allow: append(subscribe, "$MQTT.sub.>")},
			},
		})
	}
	return out
}
