"""What the inspector's page computes by itself: JSON as it was written, and what differs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inletspy.assets import asset
from tests.browser.support import BrowserTestCase

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

#: Where the modules are served for this; nothing listens there.
ORIGIN = "http://modules.test"

TEXT = (
    '{"b":[1,2.50,12345678901234567890,-0.0e+7,{"a":null,"a":true}],"2":"\\u00e9\\n","1":{},"e":[]}'
)


def serve(route: Route) -> None:
    """Answer with a file of the package, or with an empty page."""
    name = urlsplit(route.request.url).path.removeprefix("/assets/")
    if name == "/":
        route.fulfill(content_type="text/html", body="<!doctype html><title>modules</title>")
    else:
        file = asset(name)
        route.fulfill(content_type=file.content_type, body=file.content)


class ModulesTestCase(BrowserTestCase):
    async def call(self, module: str, body: str, *given: Any) -> Any:
        """What a function of a module gives, called in a page.

        Args:
            module: its name.
            body: of a function of `m`, the module, and `given`.
            given: what is passed to it.
        """
        context = await self.context()
        await self.run_in_browser(context.route, f"{ORIGIN}/**", serve)
        page = await self.page(f"{ORIGIN}/", context)
        code = (
            f"async (given) => {{ const m = await import('/assets/inspector/{module}'); {body} }}"
        )
        return await self.run_in_browser(evaluate, page, code, list(given))


def evaluate(page: Page, code: str, given: list[Any]) -> Any:
    """What code in a page gives."""
    return page.evaluate(code, given)


class JsonTests(ModulesTestCase):
    async def test_stays_as_it_was_written(self) -> None:
        lines = await self.call(
            "json.js", "return m.jsonLines(m.parseJson(given[0])).join('\\n')", TEXT
        )
        told = "".join(line.strip() for line in lines.splitlines()).replace('": ', '":')
        self.assertEqual(told, TEXT.replace("\\u00e9", "é"))

    async def test_what_is_none_is_refused(self) -> None:
        bad = ["", " ", "{", '{"a"}', "[1,]", "[1 2]", '{"a":1,}', "nul", "01", '"a\nb"', '"\\x"']
        bad += ["[1]]", "-", "{a:1}", "'a'", "[" * 100_000, "<html>", "NaN", "1.", "tru"]
        code = "return given.filter(text => m.parseJson(text))"
        self.assertEqual(await self.call("json.js", code, *bad), [])

    async def test_of_a_cut_text_there_is_what_came(self) -> None:
        cuts = [TEXT[:end] for end in range(1, len(TEXT))]
        whole, cut = await self.call(
            "json.js",
            "return [given.filter(text => m.parseJson(text)),"
            " given.filter(text => !m.parseJson(text, true))]",
            *cuts,
        )
        self.assertEqual((whole, cut), ([], []))
        bad = ['{"a"}', "[1,]", "[1 2]", "01", '"a\nb"', "[1]]", "foo", "<html>", "nulx", "--"]
        accepted = await self.call(
            "json.js", "return given.filter(t => m.parseJson(t, true))", *bad
        )
        self.assertEqual(accepted, [])


class DiffTests(ModulesTestCase):
    async def test_aligns_any_two_lists(self) -> None:
        source = random.Random(4)
        pairs = [
            [[source.choice("abc") for _ in range(source.randrange(9))] for _ in "12"]
            for _ in range(500)
        ]
        answers = await self.call("diff.js", "return given.map(([a, b]) => m.diff(a, b))", *pairs)
        for (left, right), answer in zip(pairs, answers, strict=True):
            self.assertTrue(answer["aligned"])
            places = [[row[side] for row in answer["rows"]] for side in ("left", "right")]
            for lines, side in zip((left, right), places, strict=True):
                self.assertEqual([n for n in side if n is not None], list(range(len(lines))))
            same = [row for row in answer["rows"] if row["kind"] == "same"]
            self.assertTrue(all(left[row["left"]] == right[row["right"]] for row in same))
            self.assertEqual(len(same), longest_common(left, right))

    async def test_is_bounded(self) -> None:
        answer = await self.call(
            "diff.js",
            "const lines = (name) => Array.from({length: 40000}, (_, n) => name + n);"
            "const {rows, aligned} = m.diff(['x', ...lines('a')], ['x', ...lines('b')]);"
            "return [aligned, rows.length, rows[0].kind, rows[1].kind]",
        )
        self.assertEqual(answer, [False, 40_001, "same", "changed"])

    async def test_marks_whole_words(self) -> None:
        cases = [
            ("ok: false,", "ok: true,", ["ok: ", "false", "true", ","]),
            ("x 34.00", "x 33.00", ["x ", "34", "33", ".00"]),
            ("a", "a b", ["a", "", " b", ""]),
            ("😀 a", "😁 a", ["", "😀", "😁", " a"]),
            ("", "tea", ["", "", "tea", ""]),
        ]
        found = await self.call("diff.js", "return given.map(([a, b]) => m.within(a, b))", *cases)
        self.assertEqual(found, [expected for _, _, expected in cases])

    async def test_compares_fields_by_name(self) -> None:
        left = [["A", "1"], ["Set-Cookie", "x"], ["Set-Cookie", "y"], ["B", "2"]]
        right = [["set-cookie", "x"], ["a", "1"], ["Set-Cookie", "z"], ["C", "3"]]
        found = await self.call("diff.js", "return m.diffFields(...given)", left, right)
        kinds = [(row["kind"], row["name"]) for row in found]
        self.assertEqual(
            kinds,
            [
                ("same", "A"),
                ("same", "Set-Cookie"),
                ("changed", "Set-Cookie"),
                ("removed", "B"),
                ("added", "C"),
            ],
        )


def longest_common(left: list[str], right: list[str]) -> int:
    """The length of a longest common subsequence."""
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, ours in enumerate(left):
        for j, theirs in enumerate(right):
            lengths[i + 1][j + 1] = (
                lengths[i][j] + 1 if ours == theirs else max(lengths[i][j + 1], lengths[i + 1][j])
            )
    return lengths[-1][-1]


class BoundsTests(ModulesTestCase):
    """A page may be open for days."""

    async def test_requests(self) -> None:
        answer = await self.call(
            "requests.js",
            "const known = new m.Requests();"
            "for (let first = 0; first < 30000; first += 250) known.update(Array.from("
            "{length: 250},"
            " (_, k) => ({id: `a-${first + k}`, n: first + k, pinned: first === 0})));"
            "return [known.all.length, known.all[0].n, known.all.filter(r => r.pinned).length,"
            " known.get('a-19999') === undefined, known.get('a-20000').n]",
        )
        self.assertEqual(answer, [10_250, 29_999, 250, True, 20_000])

    async def test_messages(self) -> None:
        answer = await self.call(
            "messages.js",
            "const list = new m.Messages();"
            "const some = (first, size) => list.add(Array.from({length: 500}, (_, k) => ("
            "{n: first + k, from: 'visitor', type: 'text',"
            " text: 'x'.repeat(size), size, time_ms: 0})));"
            "for (let first = 1; first < 8000; first += 500) some(first, 10);"
            "const many = list.size; some(1, 10); const again = list.size;"
            "some(8001, 100_000);"
            "return [many, again, list.size]",
        )
        self.assertEqual(answer, [5000, 5000, 167])


class DetailTests(ModulesTestCase):
    async def test_what_is_pinned_while_another_is_chosen(self) -> None:
        answer = await self.call(
            "detail.js",
            "const updated = []; let answer;"
            "const known = (id) => id === 'gone' ? undefined : ({id, n: 1, kind: 'http',"
            " method: 'GET', path: '/', pinned: false, status: null, state: 'open',"
            " duration_ms: null, request_bytes: 0, response_bytes: 0,"
            " started_at: '2030-01-01T00:00:00Z', visitor: '', host: '', service: '',"
            " failure: null, replay_of: null});"
            "const requests = {all: [], get: known, replaysOf: () => [],"
            " update: (all) => updated.push(...all)};"
            "window.fetch = (path) => new Promise((done) => { if (path.endsWith('/pin'))"
            """ answer = () => done(new Response('{"success": true, "data": {}}')); });"""
            "const nothing = () => {};"
            "const detail = new m.Detail(requests, {onReplayed: nothing, onBack: nothing,"
            " onShow: nothing, onWatch: nothing});"
            "for (const next of ['b', 'gone']) {"
            " detail.show('a'); const pinned = detail.pin(); detail.show(next);"
            " answer(); await pinned; }"
            "return updated.map(({id, pinned}) => [id, pinned])",
        )
        self.assertEqual(answer, [["a", True], ["a", True]])
