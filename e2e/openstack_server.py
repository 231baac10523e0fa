"""Runs openstack commands without paying for the imports each time.

Reads one JSON object per line: {"id": n, "args": [...], "env": {...},
"stdout": path, "stderr": path}. Each command runs in a process of its own,
forked from this one, so exit codes are real ones; {"id": n, "code": c} tells
how it ended. Ends with its standard input.
"""
import contextlib
import io
import json
import os
import signal
import sys
import threading

import ironicclient.client  # noqa: F401  imported once, for all commands
import ironicclient.osc.plugin  # noqa: F401
import ironicclient.osc.v1.baremetal_node  # noqa: F401
import ironicclient.v1.client  # noqa: F401
import openstackclient.shell as shell

answers = threading.Lock()


def command(request):
    """Runs in the child."""
    os.environ.update(request["env"])
    for fd, path in ((1, request["stdout"]), (2, request["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", closefd=False, buffering=1)
    try:
        code = shell.main(request["args"]) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def reap(pid, request):
    _, status = os.waitpid(pid, 0)
    answer = json.dumps({"id": request["id"], "code": os.waitstatus_to_exitcode(status)})
    with answers:
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def main():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        shell.main(["help", "baremetal", "node", "list"])  # finds all plugins
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                code = command(request)
            finally:
                os._exit(code)
        threading.Thread(target=reap, args=(pid, request), daemon=True).start()


main()
