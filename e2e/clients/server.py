"""The program under test, and Debian's Keystone beside it."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import bcrypt

CONFIG = """state_dir = "{state}"
host = "clients"
hardware_types = ["caddy", "fake-hardware", "ipmi"]
[api]
listen = "127.0.0.1:0"
{api}
[database]
synchronous = "off"
[broker]
listen = "127.0.0.1:0"
password = "only-here"
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
nfs_listen = "127.0.0.1:0"
[images]
default_image = "builtin:demo"
[console]
listen = "127.0.0.1:0"
[log]
level = "warn"
"""


def wait_for(what, ready, process, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if ready():
            return
        time.sleep(0.1)
    raise RuntimeError(f"{what} was not ready within {seconds} s")


class Process:
    """A program that is started and stopped with the block it is used in."""

    def start(self, what, argv, log, env=None, files=()):
        self.what, self.log = what, log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT,
                                            env={**os.environ, **(env or {})}, start_new_session=True, pass_fds=files)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-4000:]


class Server(Process):
    """`caddyshack serve` on free ports."""

    def __init__(self, program, folder, user=None, keystone=None):
        api = ""
        if user:
            users = os.path.join(folder, "users")
            hashed = bcrypt.hashpw(user[1].encode(), bcrypt.gensalt(4, b"2b")).decode()
            with open(users, "w") as f:
                f.write(f"{user[0]}:{hashed}\n")
            os.chmod(users, 0o600)
            api = f'auth = "http_basic"\nhtpasswd_file = "{users}"'
        if keystone:
            api = keystone.settings()
        config = os.path.join(folder, "caddyshack.toml")
        with open(config, "w") as f:
            f.write(CONFIG.format(state=os.path.join(folder, "state"), api=api))
        os.chmod(config, 0o600)
        self.ready = os.path.join(folder, "ready")
        self.start("caddyshack", [program, "serve", "--config", config, "--ready-file", self.ready],
                   os.path.join(folder, "caddyshack.log"))

    def __enter__(self):
        try:
            wait_for("caddyshack", lambda: os.path.exists(self.ready), self.process, 120)
        except RuntimeError:
            print(self.tail())
            raise
        with open(self.ready) as f:
            self.url = json.load(f)["api"]
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if self.process.returncode != 0 or kind:
            print(f"caddyshack ended with {self.process.returncode}:\n{self.tail()}")


class Keystone(Process):
    """Keystone on a free port of the loopback, with its own database in memory."""

    PASSWORD = "only-here"

    def __init__(self, script):
        self.folder = tempfile.mkdtemp(prefix="keystone-", dir="/dev/shm")
        # It gets a socket that listens: a port that was only looked up may be taken meanwhile.
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.port = listener.getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}/v3"
            fd = listener.fileno()
            self.start("keystone", [script, self.folder, str(self.port), self.PASSWORD, str(fd)], os.path.join(self.folder, "log"), files=[fd])

    def answers(self):
        try:
            with urllib.request.urlopen(self.url, timeout=5) as r:
                return r.status == 200
        except OSError:
            return False

    def __enter__(self):
        try:
            wait_for("keystone", self.answers, self.process, 180)
        except RuntimeError:
            print(self.tail())
            raise
        self.token = self.login({"system": {"all": True}})
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, path, body=None, ok=(200, 201, 204)):
        headers = {"Content-Type": "application/json"}
        if getattr(self, "token", None):
            headers["X-Auth-Token"] = self.token
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as r:
            if r.status not in ok:
                raise RuntimeError(f"{method} {path}: {r.status}")
            text = r.read()
            return r.headers, json.loads(text) if text else {}

    def login(self, scope):
        identity = {"methods": ["password"], "password": {"user": {
            "name": "admin", "domain": {"id": "default"}, "password": self.PASSWORD}}}
        headers, _ = self.call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        return headers["X-Subject-Token"]

    def register(self, url):
        """Puts the service into the catalog."""
        _, body = self.call("POST", "/services", {"service": {"type": "baremetal", "name": "caddyshack"}})
        self.call("POST", "/endpoints", {"endpoint": {
            "service_id": body["service"]["id"], "interface": "public", "region_id": "RegionOne", "url": url}})

    def settings(self):
        """The configuration of a service that asks this Keystone."""
        return f"""auth = "keystone"
[api.keystone]
auth_url = "{self.url}"
username = "admin"
password = "{self.PASSWORD}"
project_name = "admin"
admin_projects = ["admin"]"""

    def system_admin(self):
        return {"OS_AUTH_URL": self.url, "OS_USERNAME": "admin", "OS_PASSWORD": self.PASSWORD,
                "OS_DOMAIN_ID": "default", "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default",
                "OS_PROJECT_NAME": "admin", "OS_TENANT_NAME": "admin", "OS_REGION_NAME": "RegionOne",
                "OS_IDENTITY_API_VERSION": "3"}
