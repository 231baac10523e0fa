package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"caddyshack/conductor"
	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// deadlines are those of the boot log; what is not set stays zero, its default.
func (w WatchdogConfig) deadlines() bootlog.Deadlines {
	return bootlog.Deadlines{
		Power: w.Power.Duration, DHCP: w.DHCP.Duration, Transfer: w.Transfer.Duration, File: w.File.Duration,
		Kernel: w.Kernel.Duration, Mount: w.Mount.Duration, Init: w.Init.Duration,
	}
}

// tries is how often a machine is power-cycled as drivers take it: 0 = as
// usual, negative = never.
func (w WatchdogConfig) tries() int {
	switch {
	case w.Tries == nil:
		return 0
	case *w.Tries == 0:
		return -1
	}
	return *w.Tries
}

// watchdog is what waits for machines that boot.
func (d *daemon) watchdog() nfsroot.Watchdog {
	return nfsroot.Watchdog{Mark: pxe.Sign(d.cfg.Deploy.BootMark), Within: d.cfg.Deploy.BootTimeout.Duration, Tries: d.cfg.Boot.Watchdog.tries()}
}

// newBootMetrics counts what became of boots.
func newBootMetrics(reg *prometheus.Registry) func(conductor.BootOutcome) {
	boots := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddyshack_boots_total", Help: "Boots of machines that came up or stood still, and power-cycles because of the latter.",
	}, []string{"outcome"})
	reg.MustRegister(boots)
	for _, o := range []conductor.BootOutcome{conductor.BootUp, conductor.BootStalled, conductor.BootCycled} {
		boots.WithLabelValues(string(o))
	}
	return func(o conductor.BootOutcome) { boots.WithLabelValues(string(o)).Inc() }
}
