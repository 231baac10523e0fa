package ironicapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// setting is a BIOS setting on its way out; its links need the node.
type setting struct {
	baremetal.BIOSSetting
	node string
}

var biosTable = table[setting]{resource: "bios setting", fields: []field[setting]{
	shown("name", 1, typeString, listed, func(b []byte, _ *encoding, s *setting) []byte { return appendString(b, s.Name) }),
	shown("value", 1, typeString, listed, func(b []byte, _ *encoding, s *setting) []byte {
		if s.AttributeType == "Password" || secretKey(s.Name) {
			return appendString(b, masked)
		}
		return appendNullable(b, s.Value)
	}),
	stamp("created_at", 1, listed, func(s *setting) time.Time { return s.CreatedAt }),
	stamp("updated_at", 1, listed, func(s *setting) time.Time { return s.UpdatedAt }),
	shown("attribute_type", 74, typeString, 0, func(b []byte, _ *encoding, s *setting) []byte { return appendNullable(b, s.AttributeType) }),
	shown("allowable_values", 74, typeArray, 0, func(b []byte, _ *encoding, s *setting) []byte { return appendStrings(b, s.AllowableValues) }),
	settingNumber("lower_bound", func(s *setting) *int64 { return s.LowerBound }),
	settingNumber("upper_bound", func(s *setting) *int64 { return s.UpperBound }),
	settingNumber("min_length", func(s *setting) *int64 { return s.MinLength }),
	settingNumber("max_length", func(s *setting) *int64 { return s.MaxLength }),
	settingFlag("read_only", func(s *setting) *bool { return s.ReadOnly }),
	settingFlag("reset_required", func(s *setting) *bool { return s.ResetRequired }),
	settingFlag("unique", func(s *setting) *bool { return s.Unique }),
	shown("links", 1, typeArray, listed|hidden, func(b []byte, e *encoding, s *setting) []byte {
		quoted := appendString(nil, s.Name)
		return appendLinks(b, e.base, "nodes/"+s.node+"/bios/", string(quoted[1:len(quoted)-1]), "")
	}),
}}

func settingNumber(name string, at func(*setting) *int64) field[setting] {
	return shown(name, 74, typeNumber, 0, func(b []byte, _ *encoding, s *setting) []byte {
		if v := at(s); v != nil {
			return strconv.AppendInt(b, *v, 10)
		}
		return append(b, "null"...)
	})
}

func settingFlag(name string, at func(*setting) *bool) field[setting] {
	return shown(name, 74, typeBool, 0, func(b []byte, _ *encoding, s *setting) []byte { return appendOptionalBool(b, at(s)) })
}

// document reads what is kept of the node of the path; nothing is an empty object.
func (c *call) document(kind baremetal.DocumentKind, into any) (n node, found bool, err error) {
	if n, err = c.readNode(); err != nil {
		return n, false, err
	}
	d, found, err := c.api.Store.Document(c.r.Context(), n.UUID, kind)
	if err != nil || !found {
		return n, false, err
	}
	return n, true, json.Unmarshal([]byte(d.Body.Text()), into)
}

func (c *call) settings() ([]setting, error) {
	var body struct {
		Settings []baremetal.BIOSSetting `json:"settings"`
	}
	n, _, err := c.document(baremetal.BIOSDocument, &body)
	all := make([]setting, 0, len(body.Settings))
	for _, s := range body.Settings {
		all = append(all, setting{s, n.UUID})
	}
	slices.SortFunc(all, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

func listBIOS(c *call) error {
	view, err := biosTable.view(c, false)
	if err != nil {
		return err
	}
	all, err := c.settings()
	if err != nil {
		return err
	}
	return replyList(c, "bios", "bios_links", view, all, baremetal.Page{}, func(s *setting) string { return s.Name })
}

func showBIOS(c *call) error {
	all, err := c.settings()
	if err != nil {
		return err
	}
	name := c.vars["setting"]
	for i := range all {
		if all[i].Name == name {
			c.buf = append(c.buf, '{')
			c.buf = append(appendString(c.buf, name), ':')
			c.buf = append(biosTable.all(c.minor).append(c.buf, c.encoding(), &all[i]), '}')
			return c.reply(http.StatusOK)
		}
	}
	return baremetal.Errorf(baremetal.NotFound, "Node %s doesn't have a BIOS setting '%s'", c.vars["node"], show(name))
}

type component = baremetal.FirmwareComponent

var firmwareTable = table[component]{resource: "firmware component", fields: []field[component]{
	shown("component", 1, typeString, listed, func(b []byte, _ *encoding, f *component) []byte { return appendString(b, f.Component) }),
	firmwareText("initial_version", 1, func(f *component) string { return f.InitialVersion }),
	firmwareText("current_version", 1, func(f *component) string { return f.CurrentVersion }),
	firmwareText("last_version_flashed", 1, func(f *component) string { return f.LastVersionFlashed }),
	firmwareText("vendor", 114, func(f *component) string { return f.Vendor }),
	firmwareText("model", 114, func(f *component) string { return f.Model }),
	firmwareText("serial_number", 114, func(f *component) string { return f.SerialNumber }),
	stamp("created_at", 1, listed, func(f *component) time.Time { return f.CreatedAt }),
	stamp("updated_at", 1, listed, func(f *component) time.Time { return f.UpdatedAt }),
}}

func firmwareText(name string, since int, at func(*component) string) field[component] {
	return shown(name, since, typeString, listed, func(b []byte, _ *encoding, f *component) []byte { return appendNullable(b, at(f)) })
}

func listFirmware(c *call) error {
	var body struct {
		Components []component `json:"components"`
	}
	if _, _, err := c.document(baremetal.FirmwareDocument, &body); err != nil {
		return err
	}
	return replyList(c, "firmware", "firmware_links", firmwareTable.columns(c.minor), body.Components, baremetal.Page{},
		func(f *component) string { return f.Component })
}

// showInventory answers what the last inspection found.
func showInventory(c *call) error {
	var body struct {
		Inventory  baremetal.Object `json:"inventory"`
		PluginData baremetal.Object `json:"plugin_data"`
	}
	n, found, err := c.document(baremetal.InventoryDocument, &body)
	if err != nil {
		return err
	}
	if !found {
		return baremetal.Errorf(baremetal.NotFound, "Inventory of node %s could not be found.", n.UUID)
	}
	c.buf = append(c.buf, `{"inventory":`...)
	c.buf = appendMasked(c.buf, body.Inventory)
	c.buf = append(c.buf, `,"plugin_data":`...)
	c.buf = append(appendMasked(c.buf, body.PluginData), '}')
	return c.reply(http.StatusOK)
}
