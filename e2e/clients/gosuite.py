"""Runs gophercloud's acceptance tests for bare metal, from the module cache."""
import json
import os
import subprocess

from outcome import Outcome

PACKAGE = "github.com/gophercloud/gophercloud/v2/internal/acceptance/openstack/baremetal/"


def run(root, package, args, **env):
    """The tests of a package one after another: they use the same MAC address."""
    env = {"OS_BRANCH": "master", **{k: v for k, v in os.environ.items() if not k.startswith("OS_")}, **env}
    command = ["go", "test", "-tags", "acceptance", "-count=1", "-p=1", "-parallel=1", "-timeout=10m", "-json", PACKAGE + package]
    if args.only:
        command.insert(2, "-run=" + args.only)
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    outcome, said = Outcome(), {}
    for line in done.stdout.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        name = event.get("Test")
        if not name:
            continue
        if event["Action"] == "output":
            said[name] = said.get(name, "") + event["Output"]
        elif event["Action"] in ("pass", "fail", "skip"):
            status = {"pass": "passed", "fail": "failed", "skip": "skipped"}[event["Action"]]
            outcome.add(name, status, said.get(name, ""))
    if outcome.total() == 0:
        outcome.add(package, "failed", done.stderr or done.stdout)
    return outcome
