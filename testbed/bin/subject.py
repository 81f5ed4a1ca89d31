#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A program to be counted: does, in their order, the deeds that it is given as arguments.

    query=N      send N upstream queries (to port 5301 of this host)
    threads=N    as many threads at once, each of which sends ten
    serve=N      take N clients' queries (port 5300) and send each on
    fork         go to the background, as daemons do: the parent exits, and the child goes on
    child=N      a child that sends N and leaves by _exit; waited for
    chroot=DIR   change the root
    setuid=UID   drop to this user
    closeall     close every descriptor from 3 on
    rename=A=B   rename a file
    ready=FILE   write the own pid there
    pause        until SIGTERM; then go on
    crash        SIGKILL to itself
"""

import os
import signal
import socket
import struct
import sys
import threading
import time

UPSTREAM, LISTEN = ("127.0.0.1", 5301), ("127.0.0.1", 5300)


def message(number):
    """A query of its own name."""
    label = f"q{number}-{os.getpid()}".encode()
    return (struct.pack("!6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + bytes([len(label)]) + label
            + b"\x07example\x03net\x00\x00\x01\x00\x01")


def send(amount):
    """Upstream queries, each by a socket of its own."""
    for number in range(amount):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(message(number), UPSTREAM)


def serve(amount):
    """Each client's query is sent on as it is, before the next is read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        listener.bind(LISTEN)
        listener.settimeout(20)
        for number in range(amount):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(message(number), LISTEN)
                upstream.sendto(listener.recv(4096), UPSTREAM)


def in_threads(amount):
    """All at once: each waits for the last before it ends."""
    barrier = threading.Barrier(amount)
    def work():
        barrier.wait()
        send(10)
        barrier.wait()
    threads = [threading.Thread(target=work) for _ in range(amount)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def background():
    """The parent waits until the child is on its own."""
    if os.fork():
        sys.exit(0)
    os.setsid()


def child(amount):
    """Leaves as dnsmasq's children do, without the library's destructor."""
    pid = os.fork()
    if not pid:
        send(amount)
        os._exit(0)
    os.waitpid(pid, 0)


def ready(path):
    """Whoever polls for the file never sees half of it."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    os.rename(path + ".new", path)


TOLD = []


def pause():
    """Until SIGTERM, for a minute at most. One that came before counts as well."""
    end = time.monotonic() + 60
    while not TOLD and time.monotonic() < end:
        time.sleep(0.02)


DEEDS = {
    "query": lambda n: send(int(n)), "threads": lambda n: in_threads(int(n)),
    "serve": lambda n: serve(int(n)), "fork": lambda _: background(), "child": lambda n: child(int(n)),
    "chroot": lambda path: (os.chroot(path), os.chdir("/")),
    "setuid": lambda uid: (os.setgroups([]), os.setgid(int(uid)), os.setuid(int(uid))),
    "rename": lambda names: os.rename(*names.split("=")),
    "closeall": lambda _: os.closerange(3, 1024), "ready": ready, "pause": lambda _: pause(),
    "crash": lambda _: os.kill(os.getpid(), signal.SIGKILL),
}

if __name__ == "__main__":
    if sys.argv[1:] == ["--help"]:
        print(__doc__)
        sys.exit(0)
    if len(sys.argv) < 2 or any(deed.partition("=")[0] not in DEEDS for deed in sys.argv[1:]):
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: TOLD.append(1))
    for deed in sys.argv[1:]:
        name, _, value = deed.partition("=")
        DEEDS[name](value)
