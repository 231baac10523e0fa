package bus_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

// BenchmarkBrokerStart is the time from StartBroker until a client is connected.
func BenchmarkBrokerStart(b *testing.B) {
	for b.Loop() {
		br, err := bus.StartBroker(bus.BrokerConfig{Users: bustest.Users()})
		if err != nil {
			b.Fatal(err)
		}
		c, err := bus.NewClient(bus.ClientConfig{
			Broker: br.URL(), ClientID: "bench", User: bustest.ControllerUser, Password: bustest.Password(bustest.ControllerUser),
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.WaitConnected(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		c.Close()
		br.Close()
		b.StartTimer()
	}
}

// BenchmarkQoS1 is the time from Publish to the confirmed delivery at a subscriber.
func BenchmarkQoS1(b *testing.B) {
	for name, start := range map[string]func(testing.TB, ...string) string{"embedded": bustest.Embedded, "mosquitto": bustest.Mosquitto} {
		b.Run(name, func(b *testing.B) {
			url := start(b, "bpu-1")
			to := bus.Root + "/bpu/bpu-1/cmd"
			l := bustest.Listen(b, url, "bpu-1", to)
			boss := bustest.Listen(b, url, bustest.ControllerUser)
			m := bus.Message{Topic: to, Payload: make([]byte, 200), QoS: 1}
			for b.Loop() {
				if err := boss.Publish(b.Context(), m); err != nil {
					b.Fatal(err)
				}
				<-l.Heard
			}
			b.ReportMetric(residentMB(b), "RSS-MB")
		})
	}
}

// residentMB is the memory of this process, broker and clients included.
func residentMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}
