package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is one figure of the table.
type row struct {
	what   string
	ironic string // the figure of OpenStack Ironic; "" = none
	target string // "" = none
	seen   string
	met    verdict
	others float64 // share of the machine's CPU that went to others meanwhile, 0 to 1
}

type verdict string

const (
	noTarget verdict = "–"
	yes      verdict = "yes"
	no       verdict = "**no**"
)

func met(ok bool) verdict {
	if ok {
		return yes
	}
	return no
}

// table collects rows in the order in which they were measured.
type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// busyShare is the share of the CPU taken by others from which a figure is marked.
const busyShare = 0.1

func (t *table) markdown() string {
	var b strings.Builder
	b.WriteString("| what | Ironic | target | seen | met? |\n|---|---|---|---|---|\n")
	var busiest float64
	for _, r := range t.rows {
		seen := r.seen
		if r.others > busyShare {
			seen += fmt.Sprintf(" († %.0f %%)", 100*r.others)
			busiest = max(busiest, r.others)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.what, orDash(r.ironic), orDash(r.target), seen, r.met)
	}
	if busiest > 0 {
		fmt.Fprintf(&b, "\n† WARNING: the machine was busy: that share of its CPU went to other programs during the measurement (up to %.0f %%). "+
			"Times and rates are worse than on a quiet machine, and CPU figures somewhat higher.\n", 100*busiest)
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// samples are times of the same thing.
type samples []time.Duration

// at is the value below which the share p (0 to 1) of the samples lies.
func (s samples) at(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) String() string {
	return fmt.Sprintf("median %s, 95 %% within %s (%d times)", short(s.at(0.5)), short(s.at(0.95)), len(s))
}

// short writes a time with three digits.
func short(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	ms := d.Seconds() * 1000
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms >= 1:
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.3f ms", ms)
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
