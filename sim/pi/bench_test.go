package pi_test

import (
	"bytes"
	"fmt"
	"testing"

	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
)

// BenchmarkBoot measures power-on to prompt, with 30 MB of firmware and kernel
// for each Pi, as real ones have.
func BenchmarkBoot(b *testing.B) {
	for _, count := range []int{1, 13} {
		b.Run(fmt.Sprintf("pis=%d", count), func(b *testing.B) {
			w := newWorld(b)
			var pis []*testPi
			kernel := tftpd.Content{Data: bytes.Repeat([]byte("kernel"), 28_000_000/6)}
			for i := range count {
				id, addr, serial := fmt.Sprint("n", i), fmt.Sprintf("127.77.6.%d", i+1), fmt.Sprintf("%08x", i)
				files := w.files(id)
				files["kernel8.img"] = kernel
				files["start4.elf"] = tftpd.Content{Data: kernel.Data[:2_300_000]}
				w.put(b, id, addr, serial, files)
				w.export(b, id, addr, system())
				pis = append(pis, w.pi(b, pi.Pi4, addr, serial))
			}
			b.ResetTimer()
			for range b.N {
				for _, p := range pis {
					p.Power(true)
				}
				for _, p := range pis {
					p.stage(b, pi.StageLogin)
				}
				b.StopTimer()
				for _, p := range pis {
					p.Close()
				}
				b.StartTimer()
			}
		})
	}
}
