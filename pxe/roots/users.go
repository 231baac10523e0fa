package roots

import (
	"slices"
	"strconv"
	"strings"
)

// user is a user of the image.
type user struct {
	name, home string // home is relative to the root
	owner      Owner
}

// The range of ids that systems give to people (login.defs).
const firstUID, lastUID = 1000, 59999

// readUsers returns the users of the image that can log in and have a home
// folder, in the order of their ids. Without a passwd(5) there is root alone.
func readUsers(t Tree) ([]user, error) {
	data, _, exists, err := readConfig(t, "etc/passwd")
	if err != nil {
		return nil, err
	}
	if !exists {
		return []user{{name: "root", home: "root"}}, nil
	}
	var users []user
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		const name, uid, gid, home, shell, fields = 0, 2, 3, 5, 6, 7
		if len(f) != fields || strings.HasSuffix(f[shell], "/nologin") || strings.HasSuffix(f[shell], "/false") {
			continue
		}
		u, err := strconv.ParseUint(f[uid], 10, 32)
		if err != nil {
			continue
		}
		g, err := strconv.ParseUint(f[gid], 10, 32)
		if err != nil {
			continue
		}
		folder, err := homeOf(t, f[home])
		if err != nil {
			continue
		}
		users = append(users, user{f[name], folder, Owner{uint32(u), uint32(g)}})
	}
	slices.SortStableFunc(users, func(a, b user) int { return int(int64(a.owner.UID) - int64(b.owner.UID)) })
	return users, nil
}

// ownUsers are those that get the machine's own keys: root, and the first user
// that stands for a person, as some images let nobody in as root.
func ownUsers(users []user) []user {
	var own []user
	for _, u := range users {
		if u.owner.UID == 0 && len(own) == 0 {
			own = append(own, u)
		} else if u.owner.UID >= firstUID && u.owner.UID <= lastUID {
			return append(own, u)
		}
	}
	return own
}
