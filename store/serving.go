package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// Serving lists the hosts of the conductors that are alive and can serve nodes
// of a place, conductor group and driver, sorted. A node without a place can be
// served by all of its group.
func Serving(conductors []baremetal.Conductor, place, group, driver string) []string {
	var hosts []string
	for _, c := range conductors {
		if c.Alive && c.ConductorGroup == group && slices.Contains(c.Drivers, driver) && (place == "" || slices.Contains(c.Places, place)) {
			hosts = append(hosts, c.Hostname)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// HostOf is the host shown as the node's conductor: the holder of its claim,
// or a stable choice among those that can serve it; "" if nobody can. Lists
// filtered by ConductorHost agree with it.
func HostOf(conductors []baremetal.Conductor, n *baremetal.Node) string {
	if n.Work.Reservation != "" {
		return n.Work.Reservation
	}
	hosts := Serving(conductors, n.Work.Place, n.ConductorGroup, n.Driver)
	if len(hosts) == 0 {
		return ""
	}
	return hosts[n.ID%int64(len(hosts))]
}

// servedBy selects the nodes whose HostOf is host. Each combination of place,
// group and driver that occurs becomes one condition; there are few.
func (s *Store) servedBy(ctx context.Context, sel *selection, host string) (err error) {
	conductors, err := s.Conductors(ctx, baremetal.Page{})
	if err != nil {
		return err
	}
	rows, err := s.read.query(ctx, "SELECT DISTINCT place, conductor_group, driver FROM nodes ORDER BY place, conductor_group, driver")
	if err != nil {
		return s.fault(err)
	}
	defer closeRows(rows, &err)
	name := sel.arg(host)
	ways := []string{"(reservation = " + name + " AND reservation <> '')"}
	for rows.Next() {
		var place, group, driver string
		if err := rows.Scan(&place, &group, &driver); err != nil {
			return s.fault(err)
		}
		hosts := Serving(conductors, place, group, driver)
		if at := slices.Index(hosts, host); at >= 0 {
			ways = append(ways, fmt.Sprintf("(reservation = '' AND place = %s AND conductor_group = %s AND driver = %s AND id %% %d = %d)",
				sel.arg(place), sel.arg(group), sel.arg(driver), len(hosts), at))
		}
	}
	sel.where = append(sel.where, "("+strings.Join(ways, " OR ")+")")
	return s.fault(rows.Err())
}
