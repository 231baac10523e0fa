package pi

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// FirmwareCmdline is the kernel command line that the firmware makes of
// cmdline.txt: the first line of the file, with serial0 replaced by the UART's
// name, after arguments of the firmware's own. uart is that name; "" means the
// one of the model and config.txt.
func FirmwareCmdline(file []byte, model Model, conf *BootConfig, mac, uart string) string {
	line, _, _ := strings.Cut(string(file), "\n")
	if uart == "" {
		uart = modelUART(model, conf)
	}
	uarts := 0
	if conf.UART {
		uarts = 1
	}
	own := []string{
		"coherent_pool=1M",
		"8250.nr_uarts=" + strconv.Itoa(uarts),
		"smsc95xx.macaddr=" + strings.ToUpper(mac),
		"vc_mem.mem_base=0x3ec00000",
		"vc_mem.mem_size=0x40000000",
	}
	for _, arg := range strings.Fields(line) {
		for _, port := range []string{"serial0", "ttyAMA0,serial0"} {
			if rest, ok := strings.CutPrefix(arg, "console="+port); ok && (rest == "" || rest[0] == ',') {
				arg = "console=" + uart + rest
				break
			}
		}
		own = append(own, arg)
	}
	return strings.Join(own, " ")
}

// modelUART is what serial0 is.
func modelUART(model Model, conf *BootConfig) string {
	if conf.HasOverlay("disable-bt") || conf.HasOverlay("miniuart-bt") {
		return "ttyAMA0"
	}
	if b, err := boardOf(model); err == nil {
		return b.uart
	}
	return boards[Pi4].uart
}

// arguments splits a kernel command line into names and values. The last of
// several wins, but consoles are all kept.
func arguments(cmdline string) (values map[string]string, consoles []string) {
	values = make(map[string]string)
	for _, arg := range strings.Fields(cmdline) {
		name, value, _ := strings.Cut(arg, "=")
		value = strings.Trim(value, `"`)
		values[name] = value
		if name == "console" {
			device, _, _ := strings.Cut(value, ",")
			consoles = append(consoles, device)
		}
	}
	return values, consoles
}

// Root is where the kernel finds its root file system.
type Root struct {
	Server          netip.Addr
	Path            string
	Port, MountPort uint16
	// RSize and WSize are the largest transfers, in bytes.
	RSize, WSize uint32
}

// defaultTransfer is what a Linux kernel takes for an NFS root without rsize
// and wsize.
const defaultTransfer = 4096

// maxTransfer is the largest transfer of a Linux NFS client.
const maxTransfer = 1 << 20

var (
	errNotNFS = errors.New("root= is not /dev/nfs")
	errRPC    = errors.New("nfsroot= has no mountport=, and no rpcbind answers here")
)

// ParseRoot reads root= and nfsroot= from a kernel command line, as the kernel
// does for a client of the given address.
func ParseRoot(cmdline string, client netip.Addr) (Root, error) {
	args, _ := arguments(cmdline)
	if args["root"] != "/dev/nfs" {
		return Root{}, errNotNFS
	}
	where, opts, _ := strings.Cut(args["nfsroot"], ",")
	server, path, ok := strings.Cut(where, ":")
	if !ok {
		return Root{}, fmt.Errorf("nfsroot=%.100s names no server", where)
	}
	addr, err := netip.ParseAddr(server)
	if err != nil {
		return Root{}, fmt.Errorf("nfsroot=%.100s: the server must be an address, since the kernel has no resolver", where)
	}
	r := Root{Server: addr, Path: strings.ReplaceAll(path, "%s", client.String()), Port: 2049, RSize: defaultTransfer, WSize: defaultTransfer}
	if !strings.HasPrefix(r.Path, "/") {
		return Root{}, fmt.Errorf("nfsroot=%.100s: the path must begin with a slash", where)
	}
	for opt := range strings.SplitSeq(opts, ",") {
		if err := r.option(opt); err != nil {
			return Root{}, err
		}
	}
	if r.MountPort == 0 {
		return Root{}, errRPC
	}
	return r, nil
}

func (r *Root) option(opt string) error {
	name, value, _ := strings.Cut(opt, "=")
	number := func(bits int) uint64 {
		n, err := strconv.ParseUint(value, 10, bits)
		if err != nil {
			return 0
		}
		return n
	}
	switch name {
	case "vers", "nfsvers":
		if value != "3" {
			return fmt.Errorf("nfsroot option %q: only version 3 is spoken here", opt)
		}
	case "v4", "v2", "udp":
		return fmt.Errorf("nfsroot option %q is not supported here", opt)
	case "proto":
		if value != "tcp" {
			return fmt.Errorf("nfsroot option %q: only TCP is spoken here", opt)
		}
	case "port":
		r.Port = uint16(number(16))
	case "mountport":
		r.MountPort = uint16(number(16))
	case "rsize":
		r.RSize = transfer(number(32))
	case "wsize":
		r.WSize = transfer(number(32))
	}
	return nil
}

func transfer(n uint64) uint32 {
	if n < 1024 {
		return defaultTransfer
	}
	return uint32(min(n, maxTransfer))
}
