"""The measurements run, say what they found, and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from bench.report import text_report

ROOT = Path(__file__).resolve().parent.parent.parent


class RunTests(TestCase):
    timeout = 900

    async def test_a_short_run(self) -> None:
        folder = Path(tempfile.mkdtemp())  # a short name, as PostgreSQL's socket needs
        self.addCleanup(shutil.rmtree, folder)
        words = ["--seconds", "1", "--rounds", "1", "--bulk", "1", "--clients", "3"]
        words += ["--ways", "direct", "inletspy", "--json", str(folder / "found.json")]
        words += ["--only", "http-1", "up-8", "websocket", "tcp-connect", "events"]
        words += ["paced", "beside-steady", "beside-bulk", "tcp-echo", "idle-memory", "return"]
        output, errors, status = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "bench", *words],
            env={**os.environ, "TMPDIR": str(folder), "INLETS_BIN": "/nowhere"},
            path=str(ROOT),
        )
        self.assertEqual(status, 0, output + errors)
        found = json.loads((folder / "found.json").read_text())
        self.assertEqual(found["failures"], [])
        for name, by_way in found["figures"].items():
            self.assertEqual(set(by_way), {"direct", "inletspy"}, name)
            for (figure,) in by_way.values():
                self.assertGreater(figure["value"], 0, name)
        (figure,) = found["figures"]["http-1"]["inletspy"]
        self.assertGreater(figure["server_cpu"], 0)
        self.assertGreater(figure["client_cpu"], 0)
        self.assertIn("inletspy", found["fleet"]["idle_kb"])
        self.assertEqual(len(found["fleet"]["return_seconds"]), 1)
        self.assertIn(b"websocket: WebSocket echo", output)
        self.assertEqual([n for n in os.listdir(folder) if n.startswith("inletspy")], [])

    async def test_wrong_words(self) -> None:
        for words in (["--only", "nonsense"], ["--rounds", "0"], ["--seconds", "x"]):
            _, errors, status = await getProcessOutputAndValue(
                sys.executable, ["-m", "bench", *words], env=os.environ, path=str(ROOT)
            )
            self.assertEqual(status, 2)
            self.assertTrue(errors.strip().splitlines()[-1].startswith(b"python -m bench: error"))


class ReportTests(SynchronousTestCase):
    def found(self, **more: Any) -> dict[str, Any]:
        def figure(value: float, cpu: float) -> dict[str, Any]:
            return {"value": value, "server_cpu": cpu, "client_cpu": cpu, "more": {"p99_ms": 2.5}}

        names = ("inletspy", "python", "system", "processors", "processor", "upstream", "load")
        return {
            "conditions": dict.fromkeys(names, "x") | {"seconds": 1, "bulk_mb": 1, "rounds": 3},
            "workloads": {"w": {"title": "Work", "unit": "req/s", "per": "1,000 requests"}},
            "figures": {
                "w": {
                    "inletspy": [figure(value, 0.02) for value in (5000, 7000, 6000)],
                    "other": [figure(2000, 0.04)],
                    "still": [figure(0, 0)],
                }
            },
            "fleet": {"clients": 1000},
            "notes": {},
            "failures": [],
            **more,
        }

    def test_medians_ranges_and_proportions(self) -> None:
        lines = text_report(self.found()).splitlines()
        (ours,) = [line.split() for line in lines if line.startswith("inletspy ")][1:]
        (other,) = [line.split() for line in lines if line.startswith("other")]
        (still,) = [line.split() for line in lines if line.startswith("still")]
        self.assertEqual(
            ours, ["inletspy", "6,000", "5,000-7,000", "-", "0.02", "0.02", "-", "2.5"]
        )
        wanted = ["other", "2,000", "2,000-2,000", "3.00x", "0.04", "0.04", "0.50x", "2.5"]
        self.assertEqual(other, wanted)
        self.assertEqual(still[1:4], ["-", "---", "-"])

    def test_markdown(self) -> None:
        text = text_report(self.found(), markdown=True)
        self.assertIn("### w: Work\n", text)
        self.assertIn("| other | 2,000 | 2,000-2,000 | 3.00x | 0.04 | 0.04 | 0.50x | 2.5 |", text)

    def test_fleets_notes_and_failures(self) -> None:
        fleet = {"clients": 1000, "idle_kb": {"inletspy": 21.4}, "return_seconds": [3, 5, 4]}
        text = text_report(
            self.found(fleet=fleet, notes={"other": "no TLS"}, failures=["it broke"])
        )
        for words in ("1,000 idle tunnels", "21.4", "3-5", "other: no TLS", "it broke"):
            self.assertIn(words, text)
