package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/tftpd"
)

// bootMetrics shows how the latest boot of each node went, from the boot log
// when it is asked for.
type bootMetrics struct {
	log                   *bootlog.Log
	stage, bytes, attempt *prometheus.Desc
}

func newBootLogMetrics(log *bootlog.Log) *bootMetrics {
	return &bootMetrics{
		log:     log,
		stage:   prometheus.NewDesc("caddyshack_boot_stage_seconds", "When the latest boot of a node reached a stage, from its power-on.", []string{"node", "stage"}, nil),
		bytes:   prometheus.NewDesc("caddyshack_boot_file_bytes", "Boot files that a node got whole in its latest boot.", []string{"node"}, nil),
		attempt: prometheus.NewDesc("caddyshack_boot_attempt", "Number of the latest boot of a node since its power came on.", []string{"node"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *bootMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *bootMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, l := range m.log.Latest(time.Now()) {
		s := l.Boot.Summary()
		for stage, at := range s.Stages {
			gauge(m.stage, at, l.Boot.ID, string(stage))
		}
		gauge(m.bytes, float64(s.Bytes), l.Boot.ID)
		gauge(m.attempt, float64(s.Attempt), l.Boot.ID)
	}
}

// newTFTPMetrics counts requests by what became of them.
func newTFTPMetrics(reg *prometheus.Registry) func(tftpd.Event) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddyshack_tftp_requests_total", Help: "TFTP requests by what became of them; most files that a Pi asks for are missing.",
	}, []string{"result"})
	bytes := prometheus.NewCounter(prometheus.CounterOpts{Name: "caddyshack_tftp_sent_bytes_total", Help: "Bytes of files that clients have acknowledged."})
	reg.MustRegister(requests, bytes)
	return func(e tftpd.Event) {
		switch e.Kind {
		case tftpd.Started, tftpd.Progress:
			return
		case tftpd.Done, tftpd.Failed:
			bytes.Add(float64(e.Offset))
		}
		requests.WithLabelValues(string(e.Kind)).Add(float64(1 + e.Suppressed))
	}
}
