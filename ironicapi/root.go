package ironicapi

import "net/http"

func showRoot(c *call) error {
	c.buf = append(c.buf, `{"name":"OpenStack Ironic API","description":"Caddyshack manages bare metal machines through the OpenStack Ironic API.","default_version":`...)
	c.buf = c.appendVersion(c.buf)
	c.buf = append(c.buf, `,"versions":[`...)
	c.buf = append(c.appendVersion(c.buf), "]}"...)
	return c.reply(http.StatusOK)
}

// appendVersion appends the description of v1.
func (c *call) appendVersion(b []byte) []byte {
	b = append(b, `{"id":"v1","status":"CURRENT","min_version":"`...)
	b = append(b, minVersion[0]...)
	b = append(b, `","version":"`...)
	b = append(b, maxVersion[0]...)
	b = append(b, `","links":[{"href":"`...)
	b = append(b, c.linkBase()...)
	return append(b, `/v1/","rel":"self"}]}`...)
}

// rootLinks are the resources that GET /v1 lists, with the version that brought each.
var rootLinks = []struct {
	name  string
	since int
}{
	{"nodes", 1}, {"ports", 1}, {"chassis", 1}, {"drivers", 1}, {"lookup", 22}, {"heartbeat", 22}, {"portgroups", 23},
	{"volume", 32}, {"conductors", 49}, {"allocations", 52}, {"events", 54}, {"deploy_templates", 55}, {"shards", 82},
	{"continue_inspection", 84}, {"runbooks", 92}, {"inspection_rules", 96},
}

func showV1(c *call) error {
	base := c.linkBase()
	c.buf = append(c.buf, `{"id":"v1","version":`...)
	c.buf = c.appendVersion(c.buf)
	c.buf = append(c.buf, `,"links":[{"href":"`...)
	c.buf = append(c.buf, base...)
	c.buf = append(c.buf, `/v1/","rel":"self"},{"href":"https://docs.openstack.org/ironic/latest/contributor/webapi.html","rel":"describedby","type":"text/html"}],`...)
	c.buf = append(c.buf, `"media_types":[{"base":"application/json","type":"application/vnd.openstack.ironic.v1+json"}]`...)
	for _, l := range rootLinks {
		if c.minor < l.since {
			continue
		}
		c.buf = append(c.buf, `,"`...)
		c.buf = append(c.buf, l.name...)
		c.buf = append(c.buf, `":`...)
		c.buf = appendLinks(c.buf, base, l.name, "/", "")
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}

// healthcheck tells whether the database answers, and names what else is lost.
func healthcheck(c *call) error {
	if err := c.api.Store.Ping(c.r.Context()); err != nil {
		c.api.Log.Error("health check failed", "request_id", c.id, "err", err)
		c.buf = append(c.buf, `{"detail":[],"reasons":["the database does not answer"]}`...)
		return c.reply(http.StatusServiceUnavailable)
	}
	var troubles []string
	if c.api.Troubles != nil {
		troubles = c.api.Troubles()
	}
	c.buf = append(c.buf, `{"detail":`...)
	c.buf = appendStrings(c.buf, troubles)
	c.buf = append(c.buf, `,"reasons":[]}`...)
	return c.reply(http.StatusOK)
}
