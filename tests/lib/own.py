"""tests/lib/own.py -- what tests of real things begin with: a machine of their own, commands on it, waiting for what takes time.

    from own import ROOT, own_machine, sh, until
    own_machine(__file__)                 # runs the file again inside tests/lib/machine
"""
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NUVOLET = os.environ.get("NUVOLET", ROOT + "/build/nuvolet")
# How many times longer than on a real machine things may take: an emulated one (tests/vm) says so.
PATIENCE = float(os.environ.get("NUVOLET_PATIENCE", "1"))


def own_machine(path, lacks=""):
    """lacks: what the file needs and this machine has not; empty: nothing."""
    if os.environ.get("NUVOLET_MACHINE") == "1":
        return
    if os.geteuid() != 0:
        lacks = "root"
    if lacks:
        print("Ran 1 test in 0s\n\nOK (skipped=1)  # needs " + lacks)
        sys.exit(0)
    os.environ["NUVOLET_MACHINE"] = "1"
    os.execv(ROOT + "/tests/lib/machine", ["machine", sys.executable, "-B", os.path.abspath(path)] + sys.argv[1:])


def sh(*argv, check=True, timeout=300, **kw):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **kw)
    if check and r.returncode:
        raise AssertionError("%s: exit %d\n%s%s" % (" ".join(argv), r.returncode, r.stdout[-3000:], r.stderr[-3000:]))
    return r


def until(what, seconds, condition, pause=0.05, logs=None):
    """What condition gives, once that is true; fails after so many seconds, with the text of logs() where there is one."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s%s" % (seconds, what, "\n" + logs() if logs else ""))
        time.sleep(pause)
