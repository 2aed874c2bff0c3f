#!/usr/bin/python3
"""tests/lib/forward.py -- what `ssh -L here:there` does: connections to the Unix socket `here` are carried, byte by byte, to `there`.

    forward.py HERE THERE          prints a line when it listens; carries no descriptors and no names of who asks"""
import os
import socket
import sys
import threading


def carry(a, b):
    """One direction, with its end."""
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    for s, how in ((b, socket.SHUT_WR), (a, socket.SHUT_RD)):
        try:
            s.shutdown(how)
        except OSError:
            pass


def serve(near, there):
    with near, socket.socket(socket.AF_UNIX) as far:
        try:
            far.connect(there)
        except OSError:
            return
        back = threading.Thread(target=carry, args=(far, near), daemon=True)
        back.start()
        carry(near, far)
        back.join()


def main(here, there):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(here)
    os.chmod(here, 0o666)
    listener.listen(128)
    print("listening", flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], there), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
