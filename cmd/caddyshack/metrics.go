package main

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"caddyshack/ironicapi"
)

// newAPIMetrics counts and times requests by the template of their path.
func newAPIMetrics(reg *prometheus.Registry) func(ironicapi.Observation) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "caddyshack_api_request_seconds", Help: "Time to answer API requests.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"route", "method", "code"})
	reg.MustRegister(seconds)
	return func(o ironicapi.Observation) {
		seconds.WithLabelValues(o.Route, o.Method, strconv.Itoa(o.Status)).Observe(o.Duration.Seconds())
	}
}

// newDHCPMetrics counts what the DHCP server has done and seen.
func newDHCPMetrics(reg *prometheus.Registry) *prometheus.CounterVec {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddyshack_dhcp_events_total", Help: "What the DHCP server has done and seen, by kind.",
	}, []string{"kind"})
	reg.MustRegister(events)
	return events
}

// newMetrics returns a registry with the figures of the process itself.
func newMetrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// withMetrics serves /metrics beside the API, outside of its authentication:
// the figures name nodes by uuid only and hold no secrets.
func withMetrics(api http.Handler, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("/", api)
	return mux
}
