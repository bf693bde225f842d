"""The embedded PostgreSQL: made, started, taken over, stopped, and kept to ourselves."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg2
from twisted.trial.unittest import SkipTest, TestCase

from inletspy.errors import StartError
from inletspy.store.cluster import Cluster
from inletspy.store.embedded import EmbeddedPostgres
from inletspy.store.postmaster import Postmaster, running_url
from inletspy.store.programs import account_for, spawn, telling_line
from tests.postgres import execute, own_cluster
from tests.store.support import failure_of, reactor

TIMEOUT = 120


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def pid_of(cluster: Cluster) -> int:
    """The main process of a cluster that runs."""
    postmaster = Postmaster.of(cluster.directory)
    assert postmaster is not None
    return postmaster.pid


class LifeTests(TestCase):
    def test_keeps_what_is_stored(self) -> None:
        cluster = own_cluster(self, made=False)
        url = cluster.start()
        execute(url, "CREATE TABLE kept (n INT)")
        execute(url, "INSERT INTO kept VALUES (7)")
        cluster.stop()
        self.assertIsNone(running_url(cluster.directory))
        self.assertEqual(execute(cluster.start(), "SELECT n FROM kept"), [(7,)])

    def test_starting_again_changes_nothing(self) -> None:
        cluster = own_cluster(self)
        url = cluster.start()
        pid = pid_of(cluster)
        self.assertEqual(cluster.start(), url)
        self.assertEqual(pid_of(cluster), pid)

    def test_found_from_outside(self) -> None:
        cluster = own_cluster(self, made=False)
        self.assertIsNone(running_url(cluster.directory))
        url = cluster.start()
        self.assertEqual(running_url(cluster.directory), url)

    def test_stopping_what_never_started(self) -> None:
        own_cluster(self, made=False).stop()

    def test_brought_back_after_its_death(self) -> None:
        cluster = own_cluster(self)
        cluster.start()
        os.kill(pid_of(cluster), signal.SIGQUIT)
        assert cluster._process is not None
        cluster._process.wait(TIMEOUT)
        self.assertEqual(execute(cluster.start(), "SELECT 1"), [(1,)])

    def test_brought_back_while_its_processes_are_still_ending(self) -> None:
        cluster = own_cluster(self)
        for _ in range(10):
            url = cluster.start()
            connections = [psycopg2.connect(url) for _ in range(5)]
            os.kill(pid_of(cluster), signal.SIGKILL)
            assert cluster._process is not None
            cluster._process.wait(TIMEOUT)
            self.assertEqual(execute(cluster.start(), "SELECT 1"), [(1,)])
            for connection in connections:
                connection.close()

    def test_the_last_user_stops_it(self) -> None:
        first = own_cluster(self)
        second = Cluster(first.directory)
        url = first.start()
        self.assertEqual(second.start(), url)
        first.stop()
        self.assertEqual(running_url(first.directory), url)
        second.stop()
        self.assertIsNone(running_url(first.directory))

    def test_takes_over_what_a_killed_process_left(self) -> None:
        cluster = own_cluster(self, made=False)
        script = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from inletspy.store.cluster import Cluster\n"
            "cluster = Cluster(Path(sys.argv[1]))\n"
            "cluster.start()\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        killed = run(script, str(cluster.directory))
        self.assertEqual(killed.returncode, -signal.SIGKILL, killed.stderr)
        left = pid_of(cluster)
        self.assertEqual(cluster.start(), running_url(cluster.directory))
        self.assertEqual(pid_of(cluster), left)
        cluster.stop()
        self.assertFalse((cluster.directory / "postmaster.pid").exists())

    def test_a_process_number_used_again_is_no_obstacle(self) -> None:
        if not Path("/proc/self/comm").exists():
            raise SkipTest("needs /proc")
        cluster = own_cluster(self)
        cluster.start()
        mark = cluster.directory / "postmaster.pid"
        lines = mark.read_text().splitlines()
        cluster.stop()
        with open(os.devnull, "w") as nowhere:
            other = spawn(
                [sys.executable, "-c", "input()"] if os.geteuid() else ["/bin/sleep", "120"],
                account_for(cluster.directory),
                nowhere.fileno(),
            )
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        mark.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        self.assertEqual(execute(cluster.start(), "SELECT 1"), [(1,)])


class PrivacyTests(TestCase):
    def test_only_its_own_account_may_connect(self) -> None:
        cluster = own_cluster(self)
        url = cluster.start()
        self.assertEqual(execute(url, "SHOW listen_addresses"), [("",)])
        for path, expected in ((cluster.directory, 0o700), (self.socket(cluster), 0o700)):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), expected, path)

    def socket(self, cluster: Cluster) -> Path:
        postmaster = Postmaster.of(cluster.directory)
        assert postmaster is not None
        return postmaster.folder / ".s.PGSQL.5432"

    def test_what_is_stored_reaches_the_disk(self) -> None:
        self.assertEqual(execute(own_cluster(self).start(), "SHOW fsync"), [("on",)])

    def test_gets_nothing_of_our_environment(self) -> None:
        self.patch(os, "environ", {**os.environ, "INLETS_TOKEN": "secret", "PGPORT": "1"})
        cluster = own_cluster(self)
        cluster.start()
        try:
            environment = Path(f"/proc/{pid_of(cluster)}/environ").read_bytes()
        except OSError as error:
            raise SkipTest("can't look into the environment of processes here") from error
        self.assertNotIn(b"secret", environment)
        self.assertIn(b"LC_ALL=C", environment)

    def test_folders_above_become_searchable_and_no_more(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root's PostgreSQL has an account of its own")
        outer = Path(tempfile.mkdtemp(prefix="pg"))
        self.addCleanup(shutil.rmtree, outer)
        (outer / "data").mkdir(mode=0o700)
        cluster = Cluster(outer / "data" / "postgres")
        self.addCleanup(cluster.stop)
        cluster.start()
        for folder in (outer, outer / "data"):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o701, folder)


class LongNameTests(TestCase):
    """A socket's name is limited; one in the temporary directory takes its place."""

    def cluster(self, name: str) -> Cluster:
        short = own_cluster(self, made=False).directory.parent
        cluster = Cluster(short / name / "postgres")
        self.addCleanup(cluster.stop)
        return cluster

    def test_too_long(self) -> None:
        cluster = self.cluster("x" * 120)
        url = cluster.start()
        postmaster = Postmaster.of(cluster.directory)
        assert postmaster is not None
        self.addCleanup(shutil.rmtree, postmaster.folder)
        self.assertEqual(execute(url, "SELECT 1"), [(1,)])
        self.assertEqual(stat.S_IMODE(postmaster.folder.stat().st_mode), 0o700)
        cluster.stop()
        self.assertEqual(execute(cluster.start(), "SELECT 1"), [(1,)])
        cluster.stop()

    def test_comma_and_space(self) -> None:
        """Both mean something in libpq's lists of hosts and in PostgreSQL's of folders."""
        cluster = self.cluster("a, $b' \"c")
        url = cluster.start()
        postmaster = Postmaster.of(cluster.directory)
        assert postmaster is not None
        self.addCleanup(shutil.rmtree, postmaster.folder)
        self.assertEqual(execute(url, "SELECT 1"), [(1,)])
        cluster.stop()

    def test_the_folder_of_somebody_else(self) -> None:
        cluster = self.cluster("x" * 120)
        cluster.start()
        postmaster = Postmaster.of(cluster.directory)
        assert postmaster is not None
        cluster.stop()
        self.addCleanup(shutil.rmtree, postmaster.folder)
        postmaster.folder.chmod(0o777)
        error = self.assertRaises(StartError, cluster.start)
        self.assertIn("belongs to somebody else", str(error))


class RefusedTests(TestCase):
    def assertClear(self, cluster: Cluster, expected: str) -> None:
        text = str(self.assertRaises(StartError, cluster.start))
        self.assertIn(expected, text)
        self.assertIn(str(cluster.directory), text)
        self.assertEqual(text.splitlines(), [text])

    def test_below_a_file(self) -> None:
        file = Path(self.mktemp())
        file.write_text("")
        self.assertClear(Cluster(file / "postgres"), "exists")

    def test_read_only_folder(self) -> None:
        if os.geteuid() == 0:
            raise SkipTest("root may write everywhere")
        folder = Path(self.mktemp())
        folder.mkdir(mode=0o500)
        self.assertClear(Cluster(folder / "postgres"), "Permission denied")

    def test_something_else_is_there(self) -> None:
        cluster = own_cluster(self, made=False)
        cluster.directory.mkdir()
        (cluster.directory / "novel.txt").write_text("")
        self.assertClear(cluster, "not empty")
        self.assertEqual(os.listdir(cluster.directory), ["novel.txt"])
        self.assertFalse(cluster.directory.with_name("postgres.new").exists())

    def test_initdb_fails(self) -> None:
        cluster = own_cluster(self, made=False)
        self.patch(sys.modules["inletspy.store.cluster"], "TUNING", {"max_connections": "many"})
        self.assertClear(cluster, "contains errors")
        self.assertFalse(cluster.directory.exists())

    def test_a_broken_configuration(self) -> None:
        cluster = own_cluster(self)
        cluster.start()
        cluster.stop()
        with open(cluster.directory / "postgresql.conf", "a") as file:
            file.write("nonsense = 1\n")
        self.assertClear(cluster, "contains errors")

    def test_a_disk_that_fills_up(self) -> None:
        # A limit for the size of files is alike; it is for a process, hence one of its own.
        cluster = own_cluster(self, made=False)
        ran = run(
            "import resource, sys\n"
            "from pathlib import Path\n"
            "from inletspy.errors import StartError\n"
            "from inletspy.store.cluster import Cluster\n"
            "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))\n"
            "try:\n"
            "    Cluster(Path(sys.argv[1])).start()\n"
            "except StartError as error:\n"
            "    print(error)\n",
            str(cluster.directory),
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertEqual(len(ran.stdout.splitlines()), 1, ran.stdout)
        self.assertIn(str(cluster.directory), ran.stdout)

    def test_a_full_disk(self) -> None:
        cluster = own_cluster(self)
        self.patch(sys.modules["inletspy.store.cluster"], "ROOM_FOR_WORDS", 1 << 62)
        (cluster.directory / "postgresql.conf").write_text("nonsense = 1\n")
        self.assertClear(cluster, "no space left")

    def test_made_by_a_version_that_is_not_here(self) -> None:
        cluster = own_cluster(self)
        cluster.start()
        cluster.stop()
        (cluster.directory / "PG_VERSION").write_text("9\n")
        self.assertIn("PostgreSQL 9", str(self.assertRaises(StartError, cluster.start)))

    def test_the_line_that_tells_most(self) -> None:
        log = "LOG:  starting\n2026 UTC [1] FATAL:  no space left\nLOG:  shut down\n"
        self.assertEqual(telling_line(log), "no space left")
        self.assertEqual(telling_line("one\ntwo\n\n"), "two")
        self.assertEqual(telling_line(""), "PostgreSQL ended without a word")


class EmbeddedTests(TestCase):
    timeout = TIMEOUT

    async def test_life(self) -> None:
        cluster = own_cluster(self, made=False)
        embedded = EmbeddedPostgres(cluster.directory, reactor)
        url = await embedded.start()
        self.assertEqual(running_url(cluster.directory), url)
        await embedded.stop()
        self.assertIsNone(running_url(cluster.directory))

    async def test_fails_with_a_clear_line(self) -> None:
        file = Path(self.mktemp())
        file.write_text("")
        await failure_of(EmbeddedPostgres(file / "postgres", reactor).start(), StartError)

    def test_stops_while_the_reactor_shuts_down(self) -> None:
        cluster = own_cluster(self)
        script = (
            "import sys\n"
            "from pathlib import Path\n"
            "from twisted.internet import reactor\n"
            "from inletspy.store.embedded import EmbeddedPostgres\n"
            "embedded = EmbeddedPostgres(Path(sys.argv[1]), reactor)\n"
            "reactor.addSystemEventTrigger('before', 'shutdown', embedded.stop)\n"
            "embedded.start().addBoth(lambda url: (print(url), reactor.stop()))\n"
            "reactor.run()\n"
        )
        ran = run(script, str(cluster.directory))
        self.assertTrue(ran.stdout.startswith("postgresql://"), ran.stdout)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertIsNone(running_url(cluster.directory))
