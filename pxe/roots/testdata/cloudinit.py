"""Reads a seed by cloud-init's own code: argv is its folder and a configuration."""
import json
import sys

import yaml
from cloudinit import helpers, user_data
from cloudinit.net import network_state, networkd
from cloudinit.sources import DataSourceNoCloud

cloud, config = sys.argv[1:]
paths = helpers.Paths({"cloud_dir": cloud, "run_dir": cloud, "templates_dir": cloud})
source = DataSourceNoCloud.DataSourceNoCloud({"datasource": {"NoCloud": {"fs_label": None}}}, None, paths)
found = source._get_data()
vendor = user_data.UserDataProcessor(paths).process(source.get_vendordata_raw())
state = network_state.parse_net_config_data(source.network_config)
rendered = networkd.Renderer()._render_content(state)
config = yaml.safe_load(config)
print(json.dumps({
    "found": found,
    "instance": source.get_instance_id(),
    "hostname": source.metadata["local-hostname"],
    "keys": source.get_public_ssh_keys(),
    "name": source.metadata["name"],
    "admin_pass": source.metadata.get("admin_pass"),
    "user": source.get_userdata_raw() if isinstance(source.get_userdata_raw(), str) else source.get_userdata_raw().decode(),
    "vendor": [p.get_content_type() for p in vendor.walk() if p.get_content_maintype() != "multipart"],
    "networkd": "\n".join(rendered.values()),
    "vlans": [[i["name"], i["vlan-raw-device"], i["vlan_id"]] for i in state.iter_interfaces() if i["type"] == "vlan"],
    "sources": config["datasource_list"],
    "network": config.get("network"),
}))
