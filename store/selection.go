package store

import (
	"context"
	"fmt"
	"strings"

	"caddyshack/baremetal"
)

// selection is the part of a query after FROM, as it is being put together.
type selection struct {
	where []string
	order string
	limit string
	args  []any
}

// arg adds an argument and returns its placeholder.
func (s *selection) arg(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

func (s *selection) and(format string, args ...any) {
	holders := make([]any, len(args))
	for i, a := range args {
		holders[i] = s.arg(a)
	}
	s.where = append(s.where, fmt.Sprintf(format, holders...))
}

// equals compares a column with a wish. For a value that is not empty it says
// so, since most indexes leave out rows without one.
func (s *selection) equals(column string, want *string) {
	switch {
	case want == nil:
	case *want == "":
		s.and(column + " = ''")
	default:
		s.and(column+" = %s AND "+column+" <> ''", *want)
	}
}

// flag compares a column of 0 and 1; the value is part of the text for the
// indexes of the few rows that have it.
func (s *selection) flag(column string, want *bool) {
	if want != nil {
		s.and(fmt.Sprintf("%s = %d", column, flag(*want)))
	}
}

// in compares a column with a list; an empty list matches nothing.
func (s *selection) in(column string, values []string) string {
	if len(values) == 0 {
		return "1 = 0"
	}
	holders := make([]string, len(values))
	for i, v := range values {
		holders[i] = s.arg(v)
	}
	return column + " IN (" + strings.Join(holders, ", ") + ")"
}

// ofProject selects the nodes that a project owns or was lent; "" owns nothing.
func (s *selection) ofProject(project string) string {
	p := s.arg(project)
	return "((owner = " + p + " AND owner <> '') OR (lessee = " + p + " AND lessee <> ''))"
}

// contains looks for text within a column, letter by letter.
func (s *selection) contains(column string, want *string) {
	if want != nil {
		escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
		s.and(column+` LIKE %s ESCAPE '\'`, "%"+escape.Replace(*want)+"%")
	}
}

func (s *selection) text() string {
	var b strings.Builder
	for i, w := range s.where {
		if i == 0 {
			b.WriteString(" WHERE ")
		} else {
			b.WriteString(" AND ")
		}
		b.WriteString(w)
	}
	b.WriteString(s.order)
	b.WriteString(s.limit)
	return b.String()
}

// paging is how a table's lists are paged.
type paging struct {
	table string
	id    string // column that orders rows of equal sort values
	mark  string // column a marker names
	// sortable maps a sort key to its column.
	sortable map[string]string
	missing  func(marker string) error
	// within and value, if set, say among which rows the marker is looked for.
	within, value string
}

// page adds order, marker and limit. A page goes on after the marker by
// (sort column, id), so rows that come and go never move others over its edge.
func (s *selection) page(ctx context.Context, q querier, p paging, want baremetal.Page) error {
	column := p.id
	if want.SortBy != "" {
		var ok bool
		if column, ok = p.sortable[want.SortBy]; !ok {
			return baremetal.Errorf(baremetal.Invalid, "The sort_key value \"%s\" is an invalid field for sorting", want.SortBy)
		}
	}
	direction, after := " ASC", ">"
	if want.Desc {
		direction, after = " DESC", "<"
	}
	if want.Marker != "" {
		var value, id any
		query, args := "SELECT "+column+", "+p.id+" FROM "+p.table+" WHERE "+p.mark+" = $1", []any{want.Marker}
		if p.within != "" {
			query, args = query+" AND "+p.within+" = $2", append(args, p.value)
		}
		found, err := queryRow(ctx, q, []any{&value, &id}, query, args...)
		if err != nil {
			return err
		}
		if !found {
			return p.missing(want.Marker)
		}
		if column == p.id {
			s.and(column+" "+after+" %s", value)
		} else {
			s.and("("+column+", "+p.id+") "+after+" (%s, %s)", value, id)
		}
	}
	s.order = " ORDER BY " + column + direction
	if column != p.id {
		s.order += ", " + p.id + direction
	}
	if want.Limit > 0 {
		s.limit = " LIMIT " + s.arg(want.Limit)
	}
	return nil
}

// same maps names to columns of the same name.
func same(names ...string) map[string]string {
	m := make(map[string]string, len(names))
	for _, n := range names {
		m[n] = n
	}
	return m
}
