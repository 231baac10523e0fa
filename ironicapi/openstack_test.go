//go:build clients

package ironicapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/ironicapi"
)

// openstack is a running openstack client (Debian: python3-openstackclient, python3-ironicclient).
type openstack struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func startOpenstack(t *testing.T, env ...string) *openstack {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/run_openstack.py")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	return &openstack{t: t, in: in, out: lines}
}

// run runs one command; the error is what the client printed.
func (o *openstack) run(args ...string) (string, error) {
	o.t.Helper()
	line, err := json.Marshal(append([]string{"baremetal"}, args...))
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.in.Write(append(line, '\n')); err != nil {
		o.t.Fatal(err)
	}
	if !o.out.Scan() {
		o.t.Fatalf("the client ended: %v", o.out.Err())
	}
	var a struct {
		Code     int
		Out, Err string
	}
	if err := json.Unmarshal(o.out.Bytes(), &a); err != nil {
		o.t.Fatal(err)
	}
	if a.Code != 0 {
		return a.Out, fmt.Errorf("%s", a.Err)
	}
	return a.Out, nil
}

// must runs a command that works; want are parts of its output.
func (o *openstack) must(args []string, want ...string) string {
	o.t.Helper()
	out, err := o.run(args...)
	if err != nil {
		o.t.Errorf("%v: %v", args, err)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			o.t.Errorf("%v: %q is not in\n%s", args, w, out)
		}
	}
	return out
}

// refused runs a command that must fail with a text.
func (o *openstack) refused(want string, args ...string) {
	o.t.Helper()
	if out, err := o.run(args...); err == nil || !strings.Contains(err.Error(), want) {
		o.t.Errorf("%v: got %v %s, want %q", args, err, out, want)
	}
}

func words(s string) []string { return strings.Fields(s) }

func TestOpenstackClient(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.backend.Edit(r.node(map[string]any{"name": "seen"}), func(n *node) { n.PowerState = baremetal.PowerOff })
	s := httptest.NewServer(r.handler)
	t.Cleanup(s.Close)
	o := startOpenstack(t, "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.URL)

	o.must(words("driver list"), "fake-hardware", "caddy")
	o.must(words("driver list --long"), "dynamic")
	o.must(words("driver show fake-hardware -f json"), `"default_power_interface": "fake"`)
	o.must(words("driver property list caddy"), "backplane_unit")
	o.must(words("driver passthru list fake-hardware"))
	o.must(words("conductor list"), "twin")
	o.must(words("conductor show twin"), "alive")

	chassis := strings.TrimSpace(o.must(words("chassis create --description Pis --extra a=b -f value -c uuid")))
	o.must(words("chassis list --long"), "Pis")
	o.must(words("chassis set "+chassis+" --description empty"), "")
	o.must(words("chassis show "+chassis), "empty")
	id := strings.TrimSpace(o.must(words("node create --driver fake-hardware --name caddy-1 --chassis-uuid " + chassis +
		" --property cpus=4 --driver-info ipmi_password=secret --resource-class rpi4 -f value -c uuid")))
	o.must(words("node set caddy-1 --owner me --description x"))
	o.must(words("node list"), "caddy-1", "seen", "power off")
	o.must(words("node list --long"), "caddy-1")
	o.must(words("node list --fields uuid name driver_info resource_class"), "******")
	o.must(words("node list --provision-state enroll --owner me -f value -c Name"), "caddy-1")
	o.must(words("node list --limit 1 --sort name:desc"), "seen")
	if out := o.must(words("node list --limit 0 -f value -c Name")); strings.Count(out, "\n") != 2 {
		t.Errorf("node list --limit 0: %s", out)
	}
	o.must(words("node show caddy-1"), id, "enroll")
	o.must(words("node show --fields name driver -- caddy-1"), "fake-hardware")
	o.must(words("node set caddy-1 --extra a=1 --property memory_mb=8192 --name pi --instance-info root_gb=10"))
	o.must(words("node show pi -f json"), `"memory_mb": 8192`, `"root_gb": 10`)
	o.must(words("node unset pi --extra a --instance-info root_gb --chassis-uuid"))
	o.refused("can't remove a non-existent object", "node", "unset", "pi", "--property", "prop")
	o.refused("No valid host was found. Reason: No conductor service registered which supports driver wrongdriver.",
		"node", "create", "--driver", "wrongdriver")
	o.refused("Expected UUID for uuid", "node", "create", "--driver", "fake-hardware", "--uuid", "!@#$^*&%^")
	o.refused("could not be found", "node", "show", "nosuch")

	port := strings.TrimSpace(o.must(words("port create AA:BB:CC:DD:EE:01 --node " + id + " --pxe-enabled true " +
		"--local-link-connection switch_id=11:22:33:44:55:66 --local-link-connection port_id=1 -f value -c uuid")))
	o.must(words("port list --node pi"), "aa:bb:cc:dd:ee:01")
	o.must(words("port list --long"), port)
	o.must(words("port show "+port+" -f json"), `"switch_id": "11:22:33:44:55:66"`)
	o.must(words("port show --address aa:bb:cc:dd:ee:01"), port)
	o.must(words("port set " + port + " --pxe-disabled --extra x=y"))
	o.must(words("port unset " + port + " --extra x"))
	o.refused("already exists", words("port create aa:bb:cc:dd:ee:01 --node "+id)...)

	o.must(words("node validate pi"), "deploy", "True")
	o.must(words("node power on pi"))
	o.must(words("node manage pi --wait 10"))
	o.must(words("node inspect pi --wait 10"))
	o.must(words("node provide pi --wait 10"))
	o.must(words("node deploy pi --wait 20"))
	o.must(words("node show pi -f value -c provision_state"), "active")
	o.must([]string{"node", "rebuild", "pi", "--config-drive", `{"meta_data": {}}`, "--wait", "20"})
	o.refused(`The requested action "provide" can not be performed`, words("node provide pi")...)
	o.must(words("node console enable pi"))
	o.must(words("node console show pi"), "socat")
	o.must(words("node boot device show --supported pi"), "pxe")
	o.must(words("node boot device set pi pxe --persistent"))
	o.must(words("node maintenance set pi --reason dust"))
	o.must(words("node maintenance unset pi"))
	o.must(words("node history list pi"))
	o.must(words("node passthru list pi"), "echo")
	o.must(words("node undeploy pi --wait 10"))
	for _, list := range []string{"port group list", "allocation list", "deploy template list", "volume connector list", "volume target list",
		"node trait list pi", "node vif list pi", "node bios setting list pi"} {
		o.must(words(list))
	}
	o.must(words("node add trait pi CUSTOM_X"), "Added trait CUSTOM_X")
	o.must(words("node trait list pi"), "CUSTOM_X")
	o.must(words("allocation create --resource-class x --name a1"), "a1")
	o.must(words("allocation list"), "a1")
	o.must(words("allocation delete a1"), "Deleted allocation a1")
	o.must(words("port delete "+port), "Deleted port")
	o.must(words("node delete pi"), "Deleted node pi")
	o.must(words("chassis delete "+chassis), "Deleted chassis")
}

// TestOpenstackVersions: other versions than the client's own, and http_basic.
func TestOpenstackVersions(t *testing.T) {
	t.Parallel()
	auth, err := ironicapi.NewBasicAuth(passwords(t, "admin:"+bcryptOf(t, "secret")))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.9", "1.46", "latest"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *ironicapi.Config) { c.PublicEndpoint = "" })
			r.node(map[string]any{"name": "seen"})
			s := httptest.NewServer(http.StripPrefix("/baremetal", withAuth(t, r, auth)))
			t.Cleanup(s.Close)
			o := startOpenstack(t, "OS_AUTH_TYPE=http_basic", "OS_USERNAME=admin", "OS_PASSWORD=secret",
				"OS_ENDPOINT="+s.URL+"/baremetal", "OS_BAREMETAL_API_VERSION="+version)
			o.must(words("node list"), "seen")
			o.must(words("node show seen"), "fake-hardware")
			o.must(words("driver list"), "caddy")
			wrong := startOpenstack(t, "OS_AUTH_TYPE=http_basic", "OS_USERNAME=admin", "OS_PASSWORD=wrong", "OS_ENDPOINT="+s.URL+"/baremetal")
			wrong.refused("401", "node", "list")
		})
	}
}

func withAuth(t *testing.T, r *rig, auth ironicapi.Authenticator) http.Handler {
	t.Helper()
	h, err := ironicapi.New(ironicapi.Config{Store: r.backend, Conductor: r.backend, Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	return h
}
