"""tests/lib/world.py -- what tests of the controller read of the stand-in agent's host, beside test_compute's servers."""
import json
import os


class World:
    def ok(self, reply, status):
        self.assertEqual(reply.status, status, reply)
        return reply.json

    def world(self, folder):
        path, found = self.cloud.world + "/" + folder, {}
        for name in os.listdir(path):
            if "part" not in name:
                try:
                    with open(os.path.join(path, name)) as f:
                        found[name] = json.load(f)
                except FileNotFoundError:            # it went after the list was made
                    pass
        return found

    def becomes(self, test, what):
        """Something of the world, once it is so; a file may be away for the moment of its replacement."""
        def look():
            try:
                return test()
            except (OSError, LookupError, ValueError, TypeError):
                return None
        return self.cloud.wait(look, what=what)

    def boot(self, **extra):
        sid = self.create(**extra)
        self.settled(sid)
        port = self.ok(self.demo.get("/network/v2.0/ports?device_id=" + sid), 200)["ports"][0]
        return sid, port
