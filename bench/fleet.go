package main

import (
	"context"
	"fmt"
	"net/http"
)

// node is a node as an OpenStack would enrol it.
func node(n int, name string) map[string]any {
	return map[string]any{
		"name":           name,
		"driver":         "fake-hardware",
		"resource_class": "baremetal",
		"properties": map[string]any{
			"cpus": 4, "memory_mb": 8192, "local_gb": 32, "cpu_arch": "aarch64",
			"vendor": "Raspberry Pi", "capabilities": "boot_mode:uefi,boot_option:local",
		},
		"driver_info": map[string]any{
			"fake_address": fmt.Sprintf("192.0.2.%d", n%250), "fake_username": "admin", "fake_password": fmt.Sprintf("secret-%d", n),
			"deploy_kernel":  "http://images.example/ipa.kernel",
			"deploy_ramdisk": "http://images.example/ipa.initramfs",
		},
		"extra": map[string]any{"rack": fmt.Sprintf("r%d", n/40), "unit": n % 40, "asset": fmt.Sprintf("A-%06d", n)},
	}
}

// create makes a node and returns its uuid.
func (c *client) create(body map[string]any) (string, error) {
	var made struct{ UUID string }
	err := c.want(http.StatusCreated, http.MethodPost, "/v1/nodes", body, &made)
	return made.UUID, err
}

// addPort gives a node its port.
func (c *client) addPort(n int, uuid string) error {
	return c.want(http.StatusCreated, http.MethodPost, "/v1/ports", map[string]any{
		"node_uuid": uuid, "address": fmt.Sprintf("52:54:00:%02x:%02x:%02x", n>>16&255, n>>8&255, n&255),
		"local_link_connection": map[string]any{"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": fmt.Sprintf("Ethernet1/%d", n%48), "switch_info": "switch1"},
	}, nil)
}

// warmSize is the number of nodes made and deleted before anything is measured.
const warmSize = 50

// enrolled is what making the nodes cost.
type enrolled struct {
	uuids      []string
	one, eight cost // one after another; by eight clients
}

// enrol fills the database: half of the nodes one after another, half by eight
// clients, and then a port for each.
func (s *server) enrol(ctx context.Context, count int) (e enrolled, err error) {
	e.uuids = make([]string, count)
	if _, err := s.spread(ctx, 8, warmSize, func(c *client, i int) error {
		uuid, err := c.create(node(i, fmt.Sprintf("warm-%d", i)))
		if err != nil {
			return err
		}
		return c.want(http.StatusNoContent, http.MethodDelete, "/v1/nodes/"+uuid, nil, nil)
	}); err != nil {
		return e, err
	}
	half := count / 2
	from := func(base int) func(c *client, i int) error {
		return func(c *client, i int) (err error) {
			e.uuids[base+i], err = c.create(node(base+i, fmt.Sprintf("node-%d", base+i)))
			return err
		}
	}
	if e.one, err = s.spread(ctx, 1, half, from(0)); err != nil {
		return e, err
	}
	if e.eight, err = s.spread(ctx, 8, count-half, from(half)); err != nil {
		return e, err
	}
	_, err = s.spread(ctx, 8, count, func(c *client, i int) error { return c.addPort(i, e.uuids[i]) })
	return e, err
}
