# SPDX-License-Identifier: MIT
"""shmdemo on the target, as the image starts it.

On by adding "shmdemo" to TEST_SUITES. The service's own channel (key 1234) is
used throughout, as a board uses it.
"""

import re
import time

from oeqa.core.decorator.depends import OETestDepends
from oeqa.runtime.case import OERuntimeTestCase
from oeqa.runtime.decorator.package import OEHasPackage

KEY = 1234
CLIENT = "shmdemo-client --no-create --owner shmdemo --timeout 20"
# Longest wait for what happens by itself on an emulated board. On a busy host
# systemd alone took 30 s to start the service: its filters, and the probes' own
# logins beside it.
PATIENCE = 120


class ShmdemoTest(OERuntimeTestCase):
    def ok(self, command, timeout=120):
        """Runs a command that must succeed, gives its output."""
        status, output = self.target.run(command, timeout)
        self.assertEqual(status, 0, f"{command}\nexit status {status}\n{output}")
        return output

    def eventually(self, what, probe):
        """Waits until probe() is true."""
        end = time.monotonic() + PATIENCE
        while not probe():
            self.assertLess(time.monotonic(), end, f"not within {PATIENCE} s: {what}")
            time.sleep(1)

    def service(self, action):
        if "systemd" in self.td["DISTRO_FEATURES"].split():
            return self.ok(f"systemctl {action} shmdemo-server")
        return self.ok(f"/etc/init.d/shmdemo-server {action}")

    def received(self):
        """What the server printed, wherever this image's log is."""
        if "systemd" in self.td["DISTRO_FEATURES"].split():
            return self.ok("journalctl --no-pager -o cat -u shmdemo-server")
        return self.ok("cat /var/log/messages")

    def server_pid(self):
        status, output = self.target.run("pidof shmdemo-server")
        return output.strip() if status == 0 else None

    def channel_rows(self):
        """Rows of the channel's key in /proc/sysvipc, segments and semaphores."""
        rows = self.ok("cat /proc/sysvipc/shm /proc/sysvipc/sem").splitlines()
        return [row for row in rows if row.split()[0] == str(KEY)]

    def send(self, line):
        self.ok(f"printf '%s\\n' '{line}' | {CLIENT}")

    def token(self, name):
        return f"{name}-{time.monotonic_ns()}"

    @OETestDepends(["ssh.SSHTest.test_ssh"])
    @OEHasPackage(["shmdemo-server"])
    def test_service_runs_as_its_user(self):
        self.eventually("the server runs", self.server_pid)
        status = self.ok(f"cat /proc/{self.server_pid()}/status")
        uid = int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1))
        self.assertEqual(uid, int(self.ok("id -u shmdemo")))
        self.assertLess(uid, 1000, "logind removes semaphores of users that are not system users")

    @OETestDepends(["shmdemo.ShmdemoTest.test_service_runs_as_its_user"])
    @OEHasPackage(["shmdemo-client"])
    def test_message_reaches_the_log(self):
        token = self.token("exchange")
        self.send(token)
        self.eventually(f"{token} in the log", lambda: token in self.received())

    @OETestDepends(["shmdemo.ShmdemoTest.test_message_reaches_the_log"])
    def test_messages_outlive_a_restart(self):
        token = self.token("kept")
        self.service("stop")
        self.assertIsNone(self.server_pid(), "the server runs after stop")
        self.send(token)
        self.assertNotIn(token, self.received())
        self.service("start")
        self.eventually(f"{token} in the log", lambda: token in self.received())

    @OETestDepends(["shmdemo.ShmdemoTest.test_messages_outlive_a_restart"])
    def test_killed_server_comes_back(self):
        if "systemd" not in self.td["DISTRO_FEATURES"].split():
            self.skipTest("only systemd starts a killed server again")
        before = self.server_pid()
        self.ok(f"kill -KILL {before}")
        self.eventually("another server runs", lambda: self.server_pid() not in (None, before))
        token = self.token("after-kill")
        self.send(token)
        self.eventually(f"{token} in the log", lambda: token in self.received())

    @OETestDepends(["shmdemo.ShmdemoTest.test_messages_outlive_a_restart"])
    def test_remove_leaves_nothing(self):
        self.assertTrue(self.channel_rows(), "the running service has a segment")
        self.service("stop")
        self.assertTrue(self.channel_rows(), "stopping must leave the segment")
        self.ok("shmdemo-server remove --owner shmdemo")
        self.assertEqual(self.channel_rows(), [])
        self.service("start")
        self.eventually("the server runs", self.server_pid)

    @OETestDepends(["shmdemo.ShmdemoTest.test_remove_leaves_nothing"])
    @OEHasPackage(["shmdemo-ptest"])
    def test_ptest(self):
        status, output = self.target.run("SHMDEMO_TEST_SLOW=4 ptest-runner -t 1800 shmdemo", 2000)
        failed = [line for line in output.splitlines() if line.startswith("FAIL:")]
        passed = [line for line in output.splitlines() if line.startswith("PASS:")]
        self.assertEqual((status, failed), (0, []), output)
        self.assertGreater(len(passed), 4, f"no test program ran:\n{output}")
