package ironicapi_test

import (
	"net/http/httptest"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/httpbasic"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/conductors"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"

	"caddyshack/ironicapi"
)

// TestGophercloud drives the API with gophercloud at several versions; unset is 1.1.
func TestGophercloud(t *testing.T) {
	t.Parallel()
	auth, err := ironicapi.NewBasicAuth(passwords(t, "admin:"+bcryptOf(t, "secret")))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", "1.50", "1.82", "latest"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *ironicapi.Config) { c.Auth = auth; c.MaxLimit = 2; c.PublicEndpoint = "" })
			s := httptest.NewServer(r.handler)
			t.Cleanup(s.Close)
			c, err := httpbasic.NewBareMetalHTTPBasic(httpbasic.EndpointOpts{IronicEndpoint: s.URL + "/v1/", IronicUser: "admin", IronicUserPassword: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			c.Microversion = version
			tourGophercloud(t, c, version)
		})
	}
	r := newRig(t)
	s := httptest.NewServer(r.handler)
	t.Cleanup(s.Close)
	c, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: s.URL + "/v1/"})
	if err != nil {
		t.Fatal(err)
	}
	c.Microversion = "1.116"
	if _, err := nodes.List(c, nodes.ListOpts{}).AllPages(t.Context()); !gophercloud.ResponseCodeIs(err, 406) {
		t.Errorf("a version that is too new: %v", err)
	}
}

func tourGophercloud(t *testing.T, c *gophercloud.ServiceClient, version string) {
	ctx := t.Context()
	var last *nodes.Node
	for range 5 {
		n, err := nodes.Create(ctx, c, nodes.CreateOpts{Driver: "fake-hardware", Properties: map[string]any{"cpus": 4}}).Extract()
		if err != nil {
			t.Fatal(err)
		}
		if n.CreatedAt.IsZero() || !n.UpdatedAt.IsZero() {
			t.Errorf("times: %v, %v", n.CreatedAt, n.UpdatedAt)
		}
		last = n
	}
	pages, err := nodes.List(c, nodes.ListOpts{}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := nodes.ExtractNodes(pages); err != nil || len(all) != 5 {
		t.Errorf("list: %d nodes over the pages, %v", len(all), err)
	}
	if pages, err = nodes.ListDetail(c, nodes.ListOpts{}).AllPages(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err := nodes.ExtractNodes(pages); err != nil || len(all) != 5 || all[4].UUID != last.UUID {
		t.Errorf("detail: %d nodes, %v", len(all), err)
	}
	n, err := nodes.Update(ctx, c, last.UUID, nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/extra/a", Value: "b"},
		nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/maintenance", Value: "true"},
		nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/instance_uuid"}, // gophercloud leaves out a nil value
	}).Extract()
	if err != nil || n.Extra["a"] != "b" || !n.Maintenance {
		t.Errorf("update: %+v, %v", n, err)
	}
	if v, err := nodes.Validate(ctx, c, last.UUID).Extract(); err != nil || !v.Deploy.Result || v.Rescue.Result {
		t.Errorf("validate: %+v, %v", v, err)
	}
	if err := nodes.ChangePowerState(ctx, c, last.UUID, nodes.PowerStateOpts{Target: nodes.PowerOn}).ExtractErr(); err != nil {
		t.Errorf("power: %v", err)
	}
	if err := nodes.SetMaintenance(ctx, c, last.UUID, nodes.MaintenanceOpts{Reason: "dust"}).ExtractErr(); err != nil {
		t.Errorf("maintenance: %v", err)
	}
	if err := nodes.UnsetMaintenance(ctx, c, last.UUID).ExtractErr(); err != nil {
		t.Errorf("no maintenance: %v", err)
	}
	if err := nodes.SetBootDevice(ctx, c, last.UUID, nodes.BootDeviceOpts{BootDevice: "pxe"}).ExtractErr(); err != nil {
		t.Errorf("boot device: %v", err)
	}
	if devices, err := nodes.GetSupportedBootDevices(ctx, c, last.UUID).Extract(); err != nil || len(devices) != 1 {
		t.Errorf("boot devices: %v, %v", devices, err)
	}
	if _, err := nodes.Get(ctx, c, "nosuch-node").Extract(); !gophercloud.ResponseCodeIs(err, 404) {
		t.Errorf("a missing node: %v", err)
	}
	p, err := ports.Create(ctx, c, ports.CreateOpts{NodeUUID: last.UUID, Address: "AA:BB:CC:DD:EE:01"}).Extract()
	if err != nil || p.Address != "aa:bb:cc:dd:ee:01" {
		t.Fatalf("port: %+v, %v", p, err)
	}
	if p, err = ports.Update(ctx, c, p.UUID, ports.UpdateOpts{ports.UpdateOperation{Op: ports.AddOp, Path: "/extra/a", Value: 1}}).Extract(); err != nil {
		t.Errorf("port update: %+v, %v", p, err)
	}
	if err := ports.Delete(ctx, c, p.UUID).ExtractErr(); err != nil {
		t.Errorf("port delete: %v", err)
	}
	pages, err = drivers.ListDrivers(c, nil).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := drivers.ExtractDrivers(pages); err != nil || len(all) != 2 {
		t.Errorf("drivers: %v, %v", all, err)
	}
	if version != "" {
		pages, err := conductors.List(c, conductors.ListOpts{}).AllPages(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := conductors.ExtractConductors(pages); err != nil || len(all) != 1 || !all[0].Alive {
			t.Errorf("conductors: %v, %v", all, err)
		}
	}
	if err := nodes.Delete(ctx, c, last.UUID).ExtractErr(); err != nil {
		t.Errorf("delete: %v", err)
	}
}
