package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"caddyshack/pxe/nfsd"
)

// The names of the NFS server's metrics, which `nfs top` reads.
const (
	nfsCalls       = "caddyshack_nfs_calls_total"
	nfsErrors      = "caddyshack_nfs_errors_total"
	nfsSeconds     = "caddyshack_nfs_call_seconds_total"
	nfsReadBytes   = "caddyshack_nfs_read_bytes_total"
	nfsWroteBytes  = "caddyshack_nfs_written_bytes_total"
	nfsConnections = "caddyshack_nfs_connections"
	nfsSlow        = "caddyshack_nfs_slow_calls_total"
	nfsReplayed    = "caddyshack_nfs_replayed_calls_total"
	nfsDenied      = "caddyshack_nfs_denied_total"
)

// nfsMetrics shows the counters of the NFS server when they are asked for. A
// node's counters begin anew when its export is opened again.
type nfsMetrics struct {
	stats func() nfsd.Stats

	calls, errors, seconds, read, wrote            *prometheus.Desc
	connections, slow, replayed, denied, memoryTop *prometheus.Desc
}

func newNFSMetrics(stats func() nfsd.Stats) *nfsMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &nfsMetrics{
		stats:       stats,
		calls:       desc(nfsCalls, "NFS calls answered.", "node", "procedure"),
		errors:      desc(nfsErrors, "NFS calls answered with an error; names that do not exist count.", "node", "procedure"),
		seconds:     desc(nfsSeconds, "Time spent on NFS calls.", "node", "procedure"),
		read:        desc(nfsReadBytes, "Contents of files sent to a node.", "node"),
		wrote:       desc(nfsWroteBytes, "Contents of files received from a node.", "node"),
		connections: desc(nfsConnections, "NFS connections open now."),
		slow:        desc(nfsSlow, "NFS calls that took longer than 2 s; the log names them."),
		replayed:    desc(nfsReplayed, "Repeated NFS calls that were answered without doing them twice."),
		denied:      desc(nfsDenied, "What the NFS server refused, by reason.", "reason"),
		memoryTop:   desc("caddyshack_nfs_peak_call_memory_bytes", "The most memory that NFS calls under way took together."),
	}
}

// Describe implements prometheus.Collector.
func (m *nfsMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *nfsMetrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	st := m.stats()
	for _, x := range st.Exports {
		for _, p := range x.Procs {
			counter(m.calls, float64(p.Calls), x.ID, p.Proc)
			counter(m.errors, float64(p.Errors), x.ID, p.Proc)
			counter(m.seconds, p.Time.Seconds(), x.ID, p.Proc)
		}
		counter(m.read, float64(x.BytesRead), x.ID)
		counter(m.wrote, float64(x.BytesWritten), x.ID)
	}
	counter(m.slow, float64(st.SlowCalls))
	counter(m.replayed, float64(st.Replayed))
	for reason, n := range map[string]uint64{
		"connection": st.Refused, "bad_call": st.BadCalls, "bad_handle": st.BadHandles,
		"foreign_handle": st.Denied, "mount": st.RefusedMounts,
	} {
		counter(m.denied, float64(n), reason)
	}
	ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, float64(st.Connections))
	ch <- prometheus.MustNewConstMetric(m.memoryTop, prometheus.GaugeValue, float64(st.PeakCallMemory))
}
