"""The table of `inletspy top`, in terminals of all sizes."""

from __future__ import annotations

import json
from typing import Any

from rich.cells import cell_len
from rich.text import Text
from twisted.trial.unittest import TestCase

from inletspy.admin.board import COLUMNS, Board
from inletspy.admin.screen import keys_in
from inletspy.policy.traffic import Traffic
from tests.web.support import CONDITION, live_row

NOW = 1_800_000_000.0


def row(name: str, requests: int = 0, *, seconds: float = 0.01, **changes: Any) -> dict[str, Any]:
    """A row of a tunnel that has had so many requests."""
    traffic = Traffic()
    for _ in range(requests):
        traffic.note(NOW, NOW - seconds, b"GET", b"/", 200, 100, 5000, b"a")
    url = f"https://{name}.tunnel.example.com"
    shown = live_row(public_url=url, traffic=traffic.figures(NOW), client_id=name)
    return {"id": name, **{k: v for k, v in shown.items() if k not in ("id", "owner")}, **changes}


class BoardTestCase(TestCase):
    sees_all = False

    def setUp(self) -> None:
        self.board = Board("http://localhost:8091", "alice", sees_all=self.sees_all)

    def show(self, *rows: dict[str, Any]) -> None:
        self.board.got("tunnels", json.dumps({"tunnels": rows}))

    def order(self) -> list[str]:
        """The ids of the rows, in order."""
        return [str(row["id"]) for row in self.board.ordered()]

    def lines(self, width: int = 160, height: int = 20) -> list[str]:
        """What is seen, which must fit."""
        picture = self.board.picture(width, height)
        lines = [line.plain for line in picture.renderables if isinstance(line, Text)]
        self.assertEqual(len(lines), max(height, 5))
        for line in lines:
            self.assertLessEqual(cell_len(line), width, line)
        return lines


class EventTests(BoardTestCase):
    def test_rows(self) -> None:
        self.show(row("a"), row("b"))
        changes = {"changed": [row("b", 5), row("c")], "gone": ["a", "never"]}
        self.board.got("changes", json.dumps(changes))
        self.assertEqual(self.order(), ["b", "c"])
        self.show()
        self.assertIn("no tunnels", self.lines()[3])

    def test_what_is_not_known(self) -> None:
        self.board.got("news", "{}")
        self.board.got("bye", '{"reason": "x"}')
        self.assertEqual(self.order(), [])

    def test_health(self) -> None:
        self.assertNotIn("memory", self.lines()[1])
        self.board.got("health", json.dumps(CONDITION))
        self.assertIn("memory 6 B · 5 visitors · database up", self.lines()[1])

    def test_notice(self) -> None:
        self.show(row("a"))
        self.board.notice = "The server is away\x1b[2J"
        self.assertEqual(self.lines()[0], "The server is away\\x1b[2J")
        self.assertIn("a.tunnel.example.com", self.lines()[3])
        self.board.connected("http://localhost:8091", "alice", sees_all=False)
        self.assertIn("alice, own tunnels", self.lines()[0])


class OrderTests(BoardTestCase):
    def test_by_each_column(self) -> None:
        slow = row("a", 1, seconds=9.0)
        busy = row("b", 50)
        registered = row("c")
        del registered["traffic"]
        self.show(registered, slow, busy)
        self.assertEqual(self.order(), ["b", "a", "c"])
        self.assertTrue(self.board.press("p"))
        self.assertEqual(self.order(), ["a", "b", "c"])
        self.board.press("p")
        self.assertEqual(self.order(), ["b", "a", "c"])
        self.board.press("a")
        self.assertEqual(self.order(), ["a", "b", "c"])
        self.board.press("a")
        self.assertEqual(self.order(), ["c", "b", "a"])
        for column in COLUMNS:
            self.assertTrue(self.board.press(column.key))
            self.assertEqual(len(self.order()), 3)
            self.lines(60)

    def test_keys_that_mean_nothing(self) -> None:
        for key in ("x", "", "[200~", "\x00", "v"):
            self.assertFalse(self.board.press(key), key)

    def test_each_column_has_a_key_of_its_own(self) -> None:
        keys = [column.key for column in COLUMNS]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual(set(keys) & set("qvjk "), set())


class PictureTests(BoardTestCase):
    def test_all_columns(self) -> None:
        self.show(row("a", 1500), row("b", status="away"))
        lines = self.lines(220)
        for column in COLUMNS:
            self.assertEqual(column.title in lines[2], column.key != "w", column)
        for text in ("a.tunnel.example.com", "1,500", "300.0", "150.0 kB", "7.5 MB", "10 ms", "▁█"):
            self.assertIn(text, lines[3])
        self.assertIn("away", lines[4])
        self.assertTrue(lines[1].startswith("1 up · 1 away · 300.0 requests/s"))

    def test_fits(self) -> None:
        self.show(*(row("x" * size, size) for size in range(1, 60)))
        for width in (10, 20, 40, 80, 132, 300):
            for height in (1, 5, 6, 24, 100):
                self.lines(width, height)

    def test_columns_do_not_move_with_figures(self) -> None:
        self.show(row("a", 1))
        before = self.lines(140)[2]
        self.show(row("a", 4000, seconds=3.0))
        self.assertEqual(self.lines(140)[2], before)

    def test_scrolls(self) -> None:
        self.board.press("a")
        self.show(*(row(f"n{number:02}") for number in range(30)))
        self.assertIn("0 above, 24 below", self.lines(height=10)[-1])
        self.board.press("down")
        self.board.press("pagedown")
        lines = self.lines(height=10)
        self.assertIn("n06", lines[3])
        self.assertIn("6 above, 18 below", lines[-1])
        self.board.press("end")
        self.assertIn("24 above, 0 below", self.lines(height=10)[-1])
        self.board.press("pageup")
        self.board.press("home")
        self.board.press("up")
        self.assertIn("n00", self.lines(height=10)[3])
        self.show(row("n00"))
        self.assertNotIn("above", self.lines(height=10)[-1])

    def test_whatever_clients_say(self) -> None:
        self.show(
            row("a", client_id="\x1b[2J\u202e\n", upstream="[red]漢字" * 20, public_url="x" * 5000)
        )
        lines = self.lines(200)
        self.assertIn("\\x1b[2J\\u202e\\n", lines[3])
        self.assertIn("[red]漢字", lines[3])


class AllTests(BoardTestCase):
    sees_all = True

    def test_own_or_all(self) -> None:
        self.show(row("a", owner="alice"), row("b", owner="bob"))
        self.assertIn("OWNER", self.lines()[2])
        self.assertIn("everybody's", self.lines()[0])
        self.assertTrue(self.board.press("v"))
        self.assertEqual(self.order(), ["a"])
        self.assertIn("own tunnels", self.lines()[0])
        self.board.press("v")
        self.assertEqual(self.order(), ["a", "b"])


class KeyTests(TestCase):
    def test_keys(self) -> None:
        typed = "q\x1b[A\x1bOBjk \x1b[5~\x1b[6~\x1b[H\x1b[4~é".encode()
        self.assertEqual(
            [*keys_in(typed)],
            ["q", "up", "down", "down", "up", "pagedown", "pageup", "pagedown", "home", "end", "é"],
        )

    def test_nonsense(self) -> None:
        self.assertEqual([*keys_in(b"\x1b[200~")], ["[200~"])
        self.assertEqual([*keys_in(b"\x1b")], ["\x1b"])
        self.assertEqual(len([*keys_in(b"\xff\x00")]), 2)
