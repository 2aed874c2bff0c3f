#!/usr/bin/python3
"""tests/integration/test_router_agent_ovs.py -- test_router_agent.py with network.driver=openvswitch: routers whose ports are the switch's."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import ovs  # noqa: E402
from own import own_machine  # noqa: E402
own_machine(__file__, "" if ovs.installed() else "the package openvswitch-switch")
import test_router_agent as linux  # noqa: E402
from test_net_ovs import DATAPATH, Switched, setUpModule  # noqa: E402, F401


class Routing(Switched, linux.Routing):
    pass


class Translation(Switched, linux.Translation):
    pass


class Spoofing(Switched, linux.Spoofing):
    pass


class Death(Switched, linux.Death):
    pass


class Damage(Switched, linux.Damage):
    test_what_the_bridge_knows_comes_back = None
    BRIDGE_GOES = "ip link del %s" if DATAPATH == "netdev" else "ovs-vsctl del-br %s"          # the kernel keeps its own datapath's


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
