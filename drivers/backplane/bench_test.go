package backplane

import (
	"testing"

	"caddyshack/baremetal"
	"caddyshack/bus/bustest"
)

// BenchmarkPowerOn is the time from SetPower to the confirmed read-back, over
// the embedded broker and a simulated unit whose PGOOD takes 20 ms.
func BenchmarkPowerOn(b *testing.B) {
	r := newRig(b, bustest.Embedded(b, "bpu-1", "bpu-2"))
	ctx := b.Context()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 1), baremetal.TargetOff, 0); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := r.power.SetPower(ctx, task("bpu-1", 1, 1), baremetal.TargetOn, 0); err != nil {
			b.Fatal(err)
		}
	}
}
