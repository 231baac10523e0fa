"""The openstack program without paying for its imports each time.

A process that has imported the client once listens on a socket; the program
that the tests start hands its arguments and standard streams over, and a fork
of that process runs the client's own main with them.
"""
import contextlib
import io
import json
import multiprocessing
import os
import signal
import socket
import sys

PROGRAM = """#!/usr/bin/python3 -IS
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect({path!r})
request = json.dumps({{"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ)}}).encode()
socket.send_fds(s, [len(request).to_bytes(4, "big")], [0, 1, 2])
s.sendall(request)
code = s.recv(1)
sys.exit(code[0] if code else 70)
"""


def serve(listener, loaded):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import ironicclient.osc.v1.baremetal_node  # noqa: F401
    import ironicclient.v1.client  # noqa: F401
    from openstackclient import shell
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        shell.main(["help", "baremetal", "node", "list"])  # finds all plugins
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    loaded.set()
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        code = 70
        try:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = command(shell, connection)
            connection.sendall(bytes([code & 255]))
        finally:
            os._exit(code)


def command(shell, connection):
    """Runs in the fork."""
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    text = b""
    while len(text) < int.from_bytes(size, "big"):
        text += connection.recv(1 << 16)
    request = json.loads(text)
    for fd, stream in enumerate(streams):
        os.dup2(stream, fd)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", closefd=False, buffering=1)
    try:
        code = shell.main(sys.argv[1:]) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


@contextlib.contextmanager
def openstack(program):
    """Makes the program; it works until the block ends."""
    path = program + ".socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(128)
        with open(program, "w") as f:
            f.write(PROGRAM.format(path=path))
        os.chmod(program, 0o755)
        fork = multiprocessing.get_context("fork")
        loaded = fork.Event()
        process = fork.Process(target=serve, args=(listener, loaded), daemon=True)
        process.start()
        try:
            if not loaded.wait(120):
                raise RuntimeError("the openstack client was not loaded within 120 s")
            yield
        finally:
            process.kill()
            process.join()
