"""The documents' `aws` as a program for PATH: a process for each command, without its imports.

One process has imported everything and makes a copy of itself for each command. The program only gives the
copy its words, folder, environment, stdin, stdout and stderr, and ends with the copy's status.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
import botocore.loaders
import botocore.session

from local.stack.waiting import wait_until
from tests.aws_command import main
from tests.documents import PROJECT

_PROGRAM = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(1) or b"1"))
"""
# Their models are read once, before the copies are made.
_SERVICES = ("cloudformation", "cloudwatch", "dynamodb", "events", "lambda", "logs", "secretsmanager", "sqs")


def install_aws_command(folder: Path) -> None:
    """Puts the stand-in for the aws command line into a folder, which is for PATH."""
    script = folder / ".aws.py"
    script.write_text(_PROGRAM)
    program = folder / "aws"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {script} {_server()} "$@"\n')
    program.chmod(0o755)


@functools.cache
def _server() -> Path:
    """The address of the one server of this test process, with which it ends."""
    path = Path(tempfile.mkdtemp(prefix="aws-")) / "socket"
    server = subprocess.Popen(  # noqa: S603 - this module
        [sys.executable, "-m", "tests.e2e.aws_program", str(path)], cwd=PROJECT, stdin=subprocess.PIPE
    )

    def end() -> None:
        server.communicate()
        path.unlink(missing_ok=True)
        path.parent.rmdir()

    atexit.register(end)
    wait_until("the aws command", path.exists, timeout_s=180)
    return path


def _serve(path: str) -> None:
    """Until stdin is closed."""
    setattr(botocore.session, "create_loader", functools.cache(botocore.loaders.create_loader))  # noqa: B010
    for service in _SERVICES:
        boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]
    # The operating system forgets a copy that has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _run(connection)


def _run(connection: socket.socket) -> None:
    """What the copy does, to its end."""
    status = 1
    try:
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        words, folder, environment = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        status = main(words)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        connection.sendall(str(status).encode())
        os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1])
