package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"caddyshack/pxe"
)

// newOSLinkMetrics shows how the way to the operating-system server is.
func newOSLinkMetrics(link func() pxe.Link) []prometheus.Collector {
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddyshack_os_server_up", Help: "1 while the operating-system server answers, 0 while it is lost.",
	}, func() float64 {
		if link().Up {
			return 1
		}
		return 0
	})
	losses := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "caddyshack_os_server_losses_total", Help: "How often the operating-system server was lost.",
	}, func() float64 { return float64(link().Losses) })
	return []prometheus.Collector{up, losses}
}
