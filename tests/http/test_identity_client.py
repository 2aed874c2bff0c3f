"""tests/http/test_identity_client.py -- forty identity commands of the unmodified `openstack` client, in one session of it; calls of the SDK; both
with the access files that `nuvolet ctl` prints."""
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import Cloud  # noqa: E402

# Each line is one command; "?" expects an error, "> text" that the answer contains text.
SESSION = """
token issue -f json                                                > "project_id"
catalog list -f json                                               > identity
catalog show compute -f json                                       > compute
domain create lab --description students -f json                   > "students"
domain list -f json                                                > lab
domain show lab -f json                                            > "enabled": true
project create class --domain lab --description d --tag one -f json > "class"
project create team --domain lab --parent class -f json            > "parent_id"
project show class --domain lab --children -f json                 > subtree
project set class --domain lab --description "all of them"
project list --domain lab -f json                                  > team
user create ada --domain lab --password secret --email ada@x.org -f json > ada@x.org
user create bob --domain lab --password secret --project team --project-domain lab -f json > default_project_id
user set ada --domain lab --description "the first"
user list --domain lab -f json                                     > bob
user show ada --domain lab -f json                                 > the first
group create pupils --domain lab -f json                           > pupils
group add user --group-domain lab --user-domain lab pupils ada bob
group contains user --group-domain lab --user-domain lab pupils ada > ada in group pupils
user list --group pupils --domain lab -f json                      > ada
group list --user ada --user-domain lab -f json                    > pupils
role create tutor -f json                                          > tutor
role create helper -f json                                         > helper
implied role create tutor --implied-role helper -f json            > implies
implied role list -f json                                          > helper
role add --project class --project-domain lab --group pupils --group-domain lab member
role add --project team --project-domain lab --user ada --user-domain lab tutor
role add --domain lab --user ada --user-domain lab admin
role add --system all --user bob --user-domain lab reader
role add --project class --project-domain lab --user bob --user-domain lab --inherited reader
role assignment list --names -f json                               > tutor
role assignment list --effective --user ada --user-domain lab --names -f json > helper
role remove --system all --user bob --user-domain lab reader
region create east --description far -f json                       > far
service create --name extra --description e load-balancer -f json  > load-balancer
endpoint create --region east extra public http://x.example/v1 -f json > http://x.example/v1
endpoint list --service extra -f json                              > east
registered limit create --service extra --default-limit 5 --region east widgets -f json > widgets
limit create --project demo --service extra --region east --resource-limit 9 widgets -f json > 9
limit list -f json                                                 > widgets
application credential create robot --role member -f json          > secret
application credential list -f json                                > robot
application credential delete robot
ec2 credentials create -f json                                     > access
credential list -f json                                            > ec2
user password set --original-password nonsense --password other    ?
project delete class --domain lab                                  ?
group remove user --group-domain lab --user-domain lab pupils bob
implied role delete tutor --implied-role helper
role delete tutor helper
user delete --domain lab ada bob
group delete --domain lab pupils
project delete team --domain lab
domain set lab --disable
domain delete lab
domain show lab                                                    ?
"""

# One process for all commands: starting the client takes longer than the session.
DRIVER = """
import contextlib, io, json, shlex, sys
from openstackclient import shell
results = []
for line in sys.stdin.read().splitlines():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            rc = shell.main(shlex.split(line))
        except SystemExit as e:
            rc = e.code
    results.append([rc, out.getvalue(), err.getvalue()])
print("RESULTS" + json.dumps(results))
"""


@unittest.skipUnless(shutil.which("openstack"), "python3-openstackclient is not installed")
class Session(unittest.TestCase):
    def test_session(self):
        cloud = Cloud(agent=False, options={"identity.failed_logins": "1000", "api.address": "127.0.0.1"})
        try:
            env = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
            openrc = cloud.ctl("openrc", "admin", "admin")
            self.assertEqual(openrc.returncode, 0, openrc)
            # It asks for the password, as a shell would.
            shell = subprocess.run(["bash", "-c", 'eval "$1"; env -0', "bash", openrc.stdout], input=cloud.password("admin") + "\n", capture_output=True, text=True, env=env)
            env = dict(line.split("=", 1) for line in shell.stdout.rstrip("\0").split("\0"))
            self.assertEqual((env["OS_USERNAME"], env["OS_PASSWORD"]), ("admin", cloud.password("admin")))
            steps = [re.match(r"(.*?)(?:\s+(>|\?)(?:\s(.*))?)?$", line).groups() for line in SESSION.strip().splitlines()]
            # One client for all: starting it takes longer than the session.
            script = "\n".join("%s" % s[0].strip() for s in steps)
            r = subprocess.run(["/usr/bin/python3", "-W", "ignore", "-c", DRIVER], input=script, capture_output=True, text=True, env=env, timeout=600)
            self.assertIn("RESULTS", r.stdout, r.stderr[-2000:])
            results = json.loads(r.stdout.rpartition("RESULTS")[2])
            self.assertEqual(len(results), len(steps))
            wrong = []
            for (command, sign, text), (rc, out, err) in zip(steps, results):
                ok = (rc != 0) if sign == "?" else (rc == 0 and (not text or text in out + err))
                if not ok:
                    wrong.append("%s -> %s\n%s%s" % (command, rc, out[-300:], err[-600:]))
            self.assertEqual(wrong, [], "\n".join(wrong))
            self.assertGreaterEqual(len(steps), 40)
        finally:
            cloud.stop()


SDK = """
import openstack, sys
c = openstack.connect(cloud="nuvolet", password=sys.argv[2])
i = c.identity
assert i.find_project("demo").name == "demo"
assert {r.name for r in i.roles()} >= {"admin", "member", "reader"}
domain = i.create_domain(name="school")
project = i.create_project(name="maths", domain_id=domain.id, description="d", tags=["t"])
user = i.create_user(name="emmy", domain_id=domain.id, password="noether", email="e@n.org", default_project_id=project.id)
assert i.find_user("emmy").email == "e@n.org"
group = i.create_group(name="algebra", domain_id=domain.id)
role = i.find_role("member")
i.assign_project_role_to_user(project, user, role)
i.assign_project_role_to_group(project, group, role)
assert [r.name for r in i.role_assignments_filter(user=user, project=project)] == ["member"]
assert len(list(i.role_assignments(scope_project_id=project.id))) == 2
i.unassign_project_role_from_group(project, group, role)
assert i.update_project(project, description="new").description == "new"
assert i.update_user(user, description="first").description == "first"
service = i.create_service(name="s", type="dns")
region = i.create_region(id="moon")
endpoint = i.create_endpoint(service_id=service.id, interface="public", url="http://m.example", region_id=region.id)
assert [e.url for e in i.endpoints(service_id=service.id)] == ["http://m.example"]
limit = i.create_registered_limit(service_id=service.id, resource_name="zones", default_limit=4)
assert limit.default_limit == 4
for limit in i.registered_limits(service_id=service.id):
    i.delete_registered_limit(limit)
# A credential for one thing: it makes a server, looks at it, and nothing else.
image = c.image.create_image(name="i", disk_format="raw", container_format="bare", data=b"x" * 65536)
rules = [{"service": "compute", "method": "POST", "path": "/v2.1/servers"}, {"service": "compute", "method": "GET", "path": "/v2.1/servers/*"}]
robot = i.post("/users/%s/application_credentials" % c.current_user_id, json={"application_credential": {"name": "ci", "access_rules": rules}})
robot = robot.json()["application_credential"]                   # this SDK's own call leaves the rules out
r = openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="v3applicationcredential", auth_url=sys.argv[1], region_name="RegionOne",
                      application_credential_id=robot["id"], application_credential_secret=robot["secret"], compute_default_microversion="2.93")
flavor = [f for f in c.compute.flavors() if f.name == "m1.nano"][0]
server = r.compute.create_server(name="s", flavor_id=flavor.id, image_id=image.id, networks="none")
assert r.compute.wait_for_server(server, interval=1).status == "ACTIVE"
for forbidden in (lambda: r.compute.delete_server(server.id), lambda: list(r.network.networks()), lambda: list(r.image.images())):
    try:
        forbidden()
        raise SystemExit("let in: " + " ".join(forbidden.__code__.co_names))
    except openstack.exceptions.HttpException as e:
        assert e.status_code == 401, e
    except Exception as e:
        assert getattr(e, "http_status", 0) == 401, repr(e)
c.compute.delete_server(server.id)
c.compute.wait_for_delete(server, interval=1)
secret = i.create_application_credential(user=c.current_user_id, name="robot")
assert secret.secret
i.delete_application_credential(c.current_user_id, secret)
credential = i.create_credential(type="cert", blob="x", user=user, project=project, user_id=user.id, project_id=project.id)
assert i.get_credential(credential.id).blob == "x"
for what, thing in (("endpoint", endpoint), ("service", service), ("region", region), ("user", user), ("group", group), ("project", project)):
    getattr(i, "delete_" + what)(thing, ignore_missing=False)
i.update_domain(domain, is_enabled=False)
i.delete_domain(domain)
assert i.find_domain("school") is None
print("ALL DONE")
"""


class Sdk(unittest.TestCase):
    def test_identity_calls_of_the_sdk(self):
        if subprocess.run(["/usr/bin/python3", "-c", "import openstack"], capture_output=True).returncode:
            self.skipTest("python3-openstacksdk is not installed")
        cloud = Cloud(options={"api.address": "127.0.0.1"})
        try:
            clouds = cloud.ctl("clouds", "admin", "admin")
            self.assertEqual(clouds.returncode, 0, clouds)
            with open(cloud.top + "/clouds.yaml", "w") as f:
                f.write(clouds.stdout)
            env = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
            r = subprocess.run(["/usr/bin/python3", "-W", "ignore", "-c", SDK, "http://127.0.0.1:%d/identity/v3" % cloud.port, cloud.password("admin")],
                               capture_output=True, text=True, timeout=120, env=dict(env, OS_CLIENT_CONFIG_FILE=cloud.top + "/clouds.yaml"))
            self.assertIn("ALL DONE", r.stdout, r.stderr[-1500:])
        finally:
            cloud.stop()


if __name__ == "__main__":
    unittest.main()
