package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"caddyshack/drivers/switches"
)

// driftMetrics shows what was seen of the switches, when it is asked.
type driftMetrics struct {
	drift *switches.Drift

	found, repaired, failed, restarts, unreachable, differences *prometheus.Desc
}

func newDriftMetrics(d *switches.Drift) *driftMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("caddyshack_switch_"+name, help, []string{"switch"}, nil)
	}
	return &driftMetrics{
		drift:       d,
		found:       desc("drift_found_total", "Times that the switch was not what is wanted."),
		repaired:    desc("drift_repaired_total", "Times that it was made so."),
		failed:      desc("drift_repair_failures_total", "Times that this failed."),
		restarts:    desc("restarts_total", "Restarts of the switch, or lost connections to it."),
		unreachable: desc("unreachable_total", "Comparisons to which it did not answer."),
		differences: desc("differences", "Ports that are not what is wanted now."),
	}
}

// Describe implements prometheus.Collector.
func (m *driftMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *driftMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range m.drift.States() {
		for d, n := range map[*prometheus.Desc]int{m.found: s.Found, m.repaired: s.Repaired, m.failed: s.Failed, m.restarts: s.Restarts, m.unreachable: s.Unreachable} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), s.Switch)
		}
		ch <- prometheus.MustNewConstMetric(m.differences, prometheus.GaugeValue, float64(s.Ports), s.Switch)
	}
}
