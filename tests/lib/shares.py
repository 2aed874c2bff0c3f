"""shares.py -- how two guests that send all they can share what there is, as the receiver of both sees it."""
import subprocess
import sys

# Bits a second that arrive from each of two senders, from a second after both have begun.
RECEIVER = """import socket, threading, time
got = [0, 0]; begun = threading.Barrier(2)
def take(i):
    s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("", 7000 + i)); s.listen(1); print(1, flush=True)
    c = s.accept()[0]; begun.wait(30)
    while True: got[i] += len(c.recv(65536))
for i in (0, 1): threading.Thread(target=take, args=(i,), daemon=True).start()
end = time.monotonic() + 60
while not min(got):
    time.sleep(0.01)
    if time.monotonic() > end: raise SystemExit("a sender never came: %s" % got)
time.sleep(1); before = list(got); start = time.monotonic(); time.sleep(2)
print(*[(a - b) * 8 / 1e6 / (time.monotonic() - start) for a, b in zip(got, before)], flush=True)
"""
SENDER = """import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
while True: s.sendall(bytes(16384))
"""


def shares(guests, namespace, address):
    """Two guests (tests/lib/guest.py) send to the address, which is in the namespace: Mbit/s of each."""
    receiver = subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True)
    senders = []
    try:
        receiver.stdout.readline()
        receiver.stdout.readline()
        senders = [g.start(sys.executable, "-c", SENDER, address, str(7000 + i), stderr=subprocess.DEVNULL) for i, g in enumerate(guests)]
        return [float(x) for x in receiver.stdout.readline().split()]
    finally:
        for process in [receiver, *senders]:
            process.kill()
            process.wait()
        receiver.stdout.close()
