package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// nfsCount is what a node or one of its procedures has done.
type nfsCount struct {
	calls, errors, seconds float64
}

func (c nfsCount) minus(o nfsCount) nfsCount {
	return nfsCount{c.calls - o.calls, c.errors - o.errors, c.seconds - o.seconds}
}

// nfsNode is the counters of one node.
type nfsNode struct {
	procs       map[string]nfsCount
	read, wrote float64 // bytes
}

func (n *nfsNode) total() nfsCount {
	var t nfsCount
	for _, p := range n.procs {
		t.calls, t.errors, t.seconds = t.calls+p.calls, t.errors+p.errors, t.seconds+p.seconds
	}
	return t
}

// nfsSample is the NFS server's counters at one time.
type nfsSample struct {
	at                                   time.Time
	served                               bool // the process has an NFS server
	nodes                                map[string]*nfsNode
	connections, slow, replayed, refused float64
}

func (s *nfsSample) node(id string) *nfsNode {
	if s.nodes[id] == nil {
		s.nodes[id] = &nfsNode{procs: map[string]nfsCount{}}
	}
	return s.nodes[id]
}

// readNFSSample takes the NFS server's counters out of a /metrics page.
func readNFSSample(page io.Reader, at time.Time) (*nfsSample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	s := &nfsSample{at: at, nodes: map[string]*nfsNode{}}
	each := func(name string, f func(labels map[string]string, v float64)) {
		for _, m := range families[name].GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			f(labels, metricValue(m))
		}
	}
	perProc := func(name string, set func(c *nfsCount, v float64)) {
		each(name, func(l map[string]string, v float64) {
			n := s.node(l["node"])
			c := n.procs[l["procedure"]]
			set(&c, v)
			n.procs[l["procedure"]] = c
		})
	}
	perProc(nfsCalls, func(c *nfsCount, v float64) { c.calls = v })
	perProc(nfsErrors, func(c *nfsCount, v float64) { c.errors = v })
	perProc(nfsSeconds, func(c *nfsCount, v float64) { c.seconds = v })
	each(nfsReadBytes, func(l map[string]string, v float64) { s.node(l["node"]).read = v })
	each(nfsWroteBytes, func(l map[string]string, v float64) { s.node(l["node"]).wrote = v })
	each(nfsConnections, func(_ map[string]string, v float64) { s.connections, s.served = v, true })
	each(nfsSlow, func(_ map[string]string, v float64) { s.slow = v })
	each(nfsReplayed, func(_ map[string]string, v float64) { s.replayed = v })
	each(nfsDenied, func(_ map[string]string, v float64) { s.refused += v })
	return s, nil
}

func metricValue(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.GetCounter().GetValue()
	}
	return m.GetGauge().GetValue()
}

// since returns what happened after an earlier sample. A node whose counters
// went back was exported anew: all it shows happened since.
func (s *nfsSample) since(old *nfsSample) map[string]*nfsNode {
	out := make(map[string]*nfsNode, len(s.nodes))
	for id, n := range s.nodes {
		before := old.nodes[id]
		if before == nil || n.total().calls < before.total().calls || n.read < before.read || n.wrote < before.wrote {
			out[id] = n
			continue
		}
		d := &nfsNode{procs: map[string]nfsCount{}, read: n.read - before.read, wrote: n.wrote - before.wrote}
		for name, p := range n.procs {
			d.procs[name] = p.minus(before.procs[name])
		}
		out[id] = d
	}
	return out
}

// print writes the table: rates since the earlier sample, or all that happened
// if there is none. names are those of the nodes, by uuid.
func (s *nfsSample) print(w io.Writer, old *nfsSample, names map[string]string) error {
	nodes, seconds, unit := s.nodes, 1.0, ""
	if old != nil {
		nodes, seconds, unit = s.since(old), max(s.at.Sub(old.at).Seconds(), 0.001), "/S"
	}
	if _, err := fmt.Fprintf(w, "%s  %d nodes, %.0f connections, %.0f slow calls, %.0f repeated, %.0f refused since the start\n",
		s.at.Format(time.TimeOnly), len(nodes), s.connections, s.slow, s.replayed, s.refused); err != nil {
		return err
	}
	ids := make([]string, 0, len(nodes))
	for id := range nodes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(nodes[b].total().calls, nodes[a].total().calls), strings.Compare(a, b))
	})
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "NODE\tCALLS%[1]s\tERRORS%[1]s\tREAD MB%[1]s\tWRITE MB%[1]s\tMS/CALL\tMOST OF IT\n", unit)
	for _, id := range ids {
		n := nodes[id]
		sum := n.total()
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.1f\t%.1f\t%s\t%s\n", cmp.Or(names[id], id), sum.calls/seconds, sum.errors/seconds,
			n.read/1e6/seconds, n.wrote/1e6/seconds, perCall(sum), busiest(n, seconds))
	}
	return t.Flush()
}

func perCall(c nfsCount) string {
	if c.calls == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", c.seconds*1000/c.calls)
}

// busiest names the procedures that took most of the time.
func busiest(n *nfsNode, seconds float64) string {
	var names []string
	for name, p := range n.procs {
		if p.calls > 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(n.procs[b].seconds, n.procs[a].seconds), strings.Compare(a, b))
	})
	const most = 4
	var out []string
	for _, name := range names[:min(most, len(names))] {
		out = append(out, fmt.Sprintf("%s %.0f", name, n.procs[name].calls/seconds))
	}
	return dash(strings.Join(out, ", "))
}
