"""Runs Python test suites, several tests at once, each in a process of its own."""
import io
import multiprocessing
import os
import sys
import unittest
import warnings

import preloaded
from outcome import Outcome

# The longest a test may take; the slowest real ones take half a minute.
SECONDS = 240


# Where ironicclient's tests look for a program that starts as slowly as people's.
SLOW = "slow"


def hasty(test):
    """Tells whether a test reads a state right after it has asked for it.

    What a node takes to get there has passed while the client was loaded.
    """
    return "_states." in test.id()


def ironicclient(server, folder, args):
    config = os.path.join(folder, "test.conf")
    with open(config, "w") as f:
        f.write(f"[functional]\nauth_strategy = noauth\nironic_url = {server.url}\n")
    # where the tests look for the program
    programs = os.path.join(folder, ".tox/functional/bin")
    os.makedirs(programs)
    os.environ["IRONICCLIENT_TEST_CONFIG"] = config
    os.environ.pop("OS_CLOUD", None)
    slow = os.path.join(folder, ".tox", SLOW, "bin")
    os.makedirs(slow)
    os.symlink("/usr/bin/openstack", os.path.join(slow, "openstack"))
    with preloaded.openstack(os.path.join(programs, "openstack")):
        return run("ironicclient.tests.functional", folder, args)


CLOUD = """  {name}:
    auth_type: none
    auth: {{endpoint: "{url}"}}
    baremetal_endpoint_override: "{url}"
    has_compute: false
    has_image: false
    has_network: false
"""


def openstacksdk(server, folder, args):
    path = os.path.join(folder, "clouds.yaml")
    with open(path, "w") as f:
        f.write("clouds:\n")
        for name in ("devstack-admin", "devstack", "devstack-alt"):
            f.write(CLOUD.format(name=name, url=server.url))
    os.environ["OS_CLIENT_CONFIG_FILE"] = path
    os.environ["OS_CLOUD"] = "devstack-admin"
    os.environ["OS_TEST_TIMEOUT"] = str(SECONDS)
    # they list everything there is, so they cannot share a service with one another
    return run("openstack.tests.functional.baremetal", folder, args, jobs=1)


def flat(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flat(item)
        else:
            yield item


def discover(package):
    module = __import__(package, fromlist=["x"])
    folder = os.path.dirname(module.__file__)
    top = folder
    for _ in package.split("."):
        top = os.path.dirname(top)
    tests = list(flat(unittest.TestLoader().discover(folder, top_level_dir=top)))
    return sorted(tests, key=lambda t: t.id())


def one(test, out):
    """Runs a test in a forked process and tells what became of it."""
    warnings.simplefilter("ignore")
    if hasty(test):
        os.environ["OS_TESTENV_NAME"] = SLOW
    sys.stdout = sys.stderr = io.StringIO()
    result = unittest.TestResult()
    unittest.TestSuite([test]).run(result)  # with the set-up of its class
    bad = result.errors + result.failures
    if bad:
        out.send(("failed", bad[0][1]))
    elif result.skipped:
        out.send(("skipped", result.skipped[0][1]))
    elif result.testsRun:
        out.send(("passed", ""))
    else:
        out.send(("failed", "did not run"))


def run(package, folder, args, jobs=None):
    before = os.getcwd()
    os.chdir(folder)
    try:
        tests = discover(package)
        part, parts = (int(n) for n in args.shard.split("/"))
        tests = [t for i, t in enumerate(tests) if i % parts == part - 1 and args.only in t.id()]
        outcome = Outcome()
        running = []
        fork = multiprocessing.get_context("fork")
        while tests or running:
            while tests and len(running) < max(jobs or args.jobs, 1):
                test = tests.pop(0)
                receive, send = fork.Pipe(duplex=False)
                process = fork.Process(target=one, args=(test, send))
                process.start()
                send.close()
                running.append((test.id(), process, receive))
            name, process, receive = running.pop(0)
            status, reason = "failed", f"took longer than {SECONDS} s"
            if receive.poll(SECONDS):
                try:
                    status, reason = receive.recv()
                except EOFError:
                    reason = "the test's process ended"
            process.kill()
            process.join()
            outcome.add(name.removeprefix(package + "."), status, reason)
        return outcome
    finally:
        os.chdir(before)
