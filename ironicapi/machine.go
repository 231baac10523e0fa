package ironicapi

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"caddyshack/baremetal"
)

// setBootMode asks for another way in which the machine's firmware boots.
func setBootMode(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("target")
	if err != nil {
		return err
	}
	mode, err := textIn(body, "target", true)
	if err != nil {
		return err
	}
	if mode != "uefi" && mode != "bios" {
		return invalid("Invalid boot mode %s specified: it must be uefi or bios.", show(mode))
	}
	if err := c.api.Conductor.SetBootMode(c.r.Context(), c.caller(), n.UUID, mode); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, c.statesPath())
}

// setSecureBoot switches secure boot.
func setSecureBoot(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("target")
	if err != nil {
		return err
	}
	on, ok, err := boolIn(body, "target")
	if err != nil {
		return err
	}
	if !ok {
		return missing("target")
	}
	if err := c.api.Conductor.SetSecureBoot(c.r.Context(), c.caller(), n.UUID, on); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, c.statesPath())
}

// setRAID sets the RAID that the steps of a cleaning or deploy shall make.
func setRAID(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject()
	if err != nil {
		return err
	}
	if err := checkRAID(body); err != nil {
		return err
	}
	config, err := baremetal.NewObject(body)
	if err != nil {
		return invalid("target_raid_config: %s", err)
	}
	if err := c.api.Conductor.SetRAID(c.r.Context(), c.caller(), n.UUID, config); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

var raidLevels = []string{"JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0"}

// checkRAID holds what is true of every wanted RAID; an empty one wants none.
func checkRAID(body map[string]any) error {
	for key := range body {
		if key != "logical_disks" {
			return invalid("Invalid target_raid_config: Additional properties are not allowed ('%s' was unexpected)", show(key))
		}
	}
	v, ok := body["logical_disks"]
	if !ok {
		return nil
	}
	disks, ok := v.([]any)
	if !ok {
		return invalid("Invalid target_raid_config: logical_disks %s", wrongType(v, "array"))
	}
	roots := 0
	for _, item := range disks {
		d, ok := item.(map[string]any)
		if !ok {
			return invalid("Invalid target_raid_config: %s", wrongType(item, "object"))
		}
		root, err := checkDisk(d)
		if err != nil {
			return err
		}
		if root {
			roots++
		}
	}
	if roots > 1 {
		return invalid("Invalid target_raid_config: more than one root volume")
	}
	return nil
}

func checkDisk(d map[string]any) (root bool, err error) {
	size, sized := d["size_gb"]
	if n, whole := wholeNumber(size); !sized || size != "MAX" && (!whole || n <= 0) {
		return false, invalid("Invalid target_raid_config: size_gb of a logical disk must be a whole number above 0, or MAX")
	}
	if level, _ := d["raid_level"].(string); !slices.Contains(raidLevels, level) {
		return false, invalid("Invalid target_raid_config: raid_level '%s' is not one of %v", show(d["raid_level"]), raidLevels)
	}
	for key, words := range map[string][]string{"disk_type": {"hdd", "ssd"}, "interface_type": {"sata", "scsi", "sas"}} {
		if s, ok := d[key]; ok && s != nil {
			if text, _ := s.(string); !slices.Contains(words, text) {
				return false, invalid("Invalid target_raid_config: %s '%s' is not one of %v", key, show(s), words)
			}
		}
	}
	if n, ok := d["number_of_physical_disks"]; ok && n != nil {
		if count, whole := wholeNumber(n); !whole || count < 1 {
			return false, invalid("Invalid target_raid_config: number_of_physical_disks must be a whole number above 0")
		}
	}
	if p, ok := d["physical_disks"]; ok && p != nil {
		if _, list := p.([]any); !list {
			return false, invalid("Invalid target_raid_config: physical_disks must be a list")
		}
	}
	if v, ok := d["is_root_volume"]; ok && v != nil {
		if root, ok = toBool(v); !ok {
			return false, invalid("Invalid target_raid_config: is_root_volume must be true or false")
		}
	}
	return root, nil
}

func showDriverRAID(c *call) error {
	d, err := c.readDriver()
	if err != nil {
		return err
	}
	all, err := c.api.Conductor.RAIDProperties(c.r.Context(), d.Name)
	if err != nil {
		return err
	}
	return c.replyTexts(all)
}

// replyTexts answers an object of strings.
func (c *call) replyTexts(all map[string]string) error {
	c.buf = append(c.buf, '{')
	for i, key := range sortedKeys(all) {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(appendString(c.buf, key), ':')
		c.buf = appendString(c.buf, all[key])
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}

func listMedia(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	all, err := c.api.Conductor.VirtualMedia(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"vmedia":[`...)
	for i, m := range all {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(c.buf, `{"device_type":`...)
		c.buf = appendString(c.buf, m.DeviceType)
		c.buf = append(c.buf, `,"inserted":true,"image_url":`...) // which may carry a password
		c.buf = append(appendString(c.buf, masked), '}')
	}
	c.buf = append(c.buf, "]}"...)
	return c.reply(http.StatusOK)
}

var (
	mediaSchemes = []string{"http", "https", "nfs", "cifs"}
	mediaSources = []string{"http", "local", "swift"}
	deviceTypes  = []string{"cdrom", "disk", "floppy"}
)

func attachMedium(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("device_type", "image_url", "image_download_source")
	if err != nil {
		return err
	}
	var m baremetal.VirtualMedium
	if m.DeviceType, err = textIn(body, "device_type", true); err != nil {
		return err
	}
	if m.ImageURL, err = textIn(body, "image_url", true); err != nil {
		return err
	}
	if m.DownloadSource, err = textIn(body, "image_download_source", false); err != nil {
		return err
	}
	scheme, rest, _ := strings.Cut(m.ImageURL, "://")
	switch {
	case !slices.Contains(deviceTypes, m.DeviceType):
		return invalid("Invalid device_type '%s': it must be one of %v", show(m.DeviceType), deviceTypes)
	case !slices.Contains(mediaSchemes, scheme) || rest == "":
		return invalid("Invalid image_url: its scheme must be one of %v", mediaSchemes)
	case m.DownloadSource != "" && !slices.Contains(mediaSources, m.DownloadSource):
		return invalid("Invalid image_download_source '%s': it must be one of %v", show(m.DownloadSource), mediaSources)
	}
	if err := c.api.Conductor.AttachMedium(c.r.Context(), c.caller(), n.UUID, m); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

func detachMedia(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	var types []string
	if s, ok := c.arg("device_types"); ok {
		types = splitList(s)
		for _, t := range types {
			if !slices.Contains(deviceTypes, t) {
				return invalid("Invalid device_types '%s': each must be one of %v", show(t), deviceTypes)
			}
		}
		if types == nil { // no type must not mean every type
			return invalid("device_types must name at least one type")
		}
	}
	if err := c.api.Conductor.DetachMedia(c.r.Context(), c.caller(), n.UUID, types); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

// maxEvents is the most events a request may hold.
const maxEvents = 1000

// takeEvents logs the events of other services: nothing depends on them.
func takeEvents(c *call) error {
	body, err := c.readObject("events")
	if err != nil {
		return err
	}
	list, ok := body["events"].([]any)
	if !ok {
		return missing("events")
	}
	if len(list) > maxEvents {
		return invalid("events: more than %d at once", maxEvents)
	}
	known := []string{"network.bind_port", "network.unbind_port", "network.delete_port"}
	for i, item := range list {
		e, ok := item.(map[string]any)
		if !ok {
			return invalid("events: %s", wrongType(item, "object"))
		}
		name, _ := e["event"].(string)
		if !slices.Contains(known, name) {
			return invalid("events: event '%s' is not one of %v", show(e["event"]), known)
		}
		for _, key := range []string{"port_id", "mac_address", "status"} {
			if _, ok := e[key].(string); !ok {
				return invalid("events: event %s needs %s", strconv.Itoa(i), key)
			}
		}
		if _, err := baremetal.ParseMAC(e["mac_address"].(string)); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(e)) {
			if _, text := e[key].(string); !text && e[key] != nil {
				return invalid("events: %s must be text", show(key))
			}
		}
	}
	for _, item := range list {
		e, _ := item.(map[string]any)
		c.api.Log.Info("event of another service", "request_id", c.id, "event", e["event"], "port_id", e["port_id"], "status", e["status"])
	}
	return c.empty(http.StatusNoContent, "")
}
