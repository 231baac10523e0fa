package qemu

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"

	"caddyshack/sim/pi"
)

// Program is QEMU for the processors of Pis.
const Program = "qemu-system-aarch64"

// ErrMissing is returned by Find; its text says what to install.
var ErrMissing = errors.New(Program + " was not found; install it (Debian, Ubuntu: apt install qemu-system-arm; Fedora: dnf install qemu-system-aarch64)")

// Find looks for QEMU in PATH.
func Find() (string, error) {
	p, err := exec.LookPath(Program)
	if err != nil {
		return "", ErrMissing
	}
	return p, nil
}

// Board is a kind of computer that QEMU knows.
type Board string

const (
	// Virt is QEMU's own board. It boots a Pi's kernel fastest, and brings a
	// device tree of its own.
	Virt Board = "virt"
	// RaspberryPi3 is a Raspberry Pi 3B, with the fetched device tree and a USB
	// network adapter in place of its own, at 160 kB/s. It suits [pi.Pi3].
	RaspberryPi3 Board = "raspi3b"
)

// Config says how a guest runs.
type Config struct {
	// Program is QEMU, as Find returns it. Required.
	Program string
	// Board is the kind of computer; "" = Virt.
	Board Board
	// MemoryMB is the guest's memory in MiB; 0 = 256. A RaspberryPi3 has 1024.
	MemoryMB int
	// TAP is the name of an existing TAP interface for the guest's network
	// port; "" = QEMU's user network, with relays to the NFS server.
	TAP string
	// SSHPort is the port of the Pi's address at which the guest's port 22 is
	// reached, if it is free; 0 = none. For the user network alone.
	SSHPort uint16
	// Starts spaces the starts of guests that share it; nil = no pause.
	Starts *Starts
	// Log is where problems are reported; nil = nowhere.
	Log *slog.Logger
}

// Machine runs guests, one at a time.
type Machine struct {
	cfg Config
	log *slog.Logger
}

var _ pi.Computer = (*Machine)(nil)

// New returns a machine that runs nothing yet.
func New(cfg Config) (*Machine, error) {
	if cfg.Program == "" {
		return nil, ErrMissing
	}
	switch cfg.Board {
	case "":
		cfg.Board = Virt
	case Virt, RaspberryPi3:
	default:
		return nil, fmt.Errorf("QEMU's board %q is not one of %q, %q", cfg.Board, Virt, RaspberryPi3)
	}
	if cfg.MemoryMB == 0 {
		cfg.MemoryMB = 256
	}
	if cfg.Board == RaspberryPi3 {
		cfg.MemoryMB = 1024 // QEMU takes nothing else
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Machine{cfg: cfg, log: cfg.Log}, nil
}

// UART is the kernel's name of the serial port.
func (m *Machine) UART() string {
	if m.cfg.Board == Virt {
		return "ttyAMA0"
	}
	return "" // as on the Pi
}

// processors of the models, as QEMU names them.
var processors = map[pi.Model]string{pi.Pi3: "cortex-a53", pi.Pi3Plus: "cortex-a53", pi.Pi4: "cortex-a72", pi.Pi5: "cortex-a76"}

const (
	// pi3Cores is how many of a RaspberryPi3's four cores are powered. The others
	// would wait for the kernel in a loop, each at the cost of a whole processor of
	// the host; with a single one the kernel stands still before it mounts its root.
	pi3Cores = "2"
	// pi3Kernel is what the kernel is told on a RaspberryPi3: of its cores, and to do
	// without fast interrupts in its USB driver, which QEMU's controller is not made
	// for and is slower with.
	pi3Kernel = " maxcpus=" + pi3Cores + " dwc_otg.fiq_enable=0 dwc_otg.fiq_fsm_enable=0"
)

// powerKey is the command that presses the power key of QEMU's own board, as the
// gpio-shutdown overlay makes of the shutdown pin. A RaspberryPi3 has none.
const powerKey = `{"execute":"system_powerdown"}`

// qmpFD is the number under which the guest's QEMU finds its control socket.
const qmpFD = 3

// arguments is QEMU's command line. network is the value of -netdev without
// its id.
func (m *Machine) arguments(l pi.Loaded, cmdline, network string) []string {
	if m.cfg.Board == RaspberryPi3 {
		cmdline += pi3Kernel
	}
	args := []string{
		"-M", string(m.cfg.Board), "-m", strconv.Itoa(m.cfg.MemoryMB), "-display", "none", "-monitor", "none",
		// A reset ends QEMU, as the next boot begins in the boot ROM.
		"-no-reboot", "-kernel", l.Kernel, "-append", cmdline,
		"-chardev", "stdio,id=line,signal=off",
		"-chardev", fmt.Sprintf("socket,id=control,fd=%d", qmpFD), "-mon", "chardev=control,mode=control",
		"-netdev", network + ",id=net",
	}
	switch m.cfg.Board {
	case RaspberryPi3:
		args = append(args, "-dtb", l.DeviceTree, "-global", "bcm2837.enabled-cpus="+pi3Cores,
			"-device", "usb-net,netdev=net,port=1,mac="+l.MAC, // a port keeps QEMU from adding a hub
			"-serial", "null", "-serial", "chardev:line") // the second is the mini UART
	default:
		args = append(args, "-cpu", processors[l.Model], "-smp", "1",
			"-device", "virtio-net-pci,netdev=net,romfile=,mac="+l.MAC,
			"-serial", "chardev:line")
	}
	if l.Initramfs != "" {
		args = append(args, "-initrd", l.Initramfs)
	}
	return args
}
