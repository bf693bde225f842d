"""The files of the pages: which there are, what they are, and that they stay among themselves."""

from __future__ import annotations

import re

from twisted.trial.unittest import TestCase

from inletspy.assets import PAGE_FIELDS, asset, names
from inletspy.errors import NotThere


class AssetTests(TestCase):
    def test_a_page(self) -> None:
        page = asset("dashboard/index.html")
        self.assertTrue(page.content.lower().startswith(b"<!doctype html>"))
        self.assertEqual(page.content_type, "text/html; charset=utf-8")
        self.assertRegex(page.etag, r'^"[A-Za-z0-9_-]{22}"$')

    def test_nothing_else_can_be_named(self) -> None:
        self.assertIn("dashboard/index.html", names())
        for name in (
            "",
            "/",
            "dashboard",
            "dashboard/",
            "/dashboard/index.html",
            "dashboard//index.html",
            "dashboard/../dashboard/index.html",
            "../assets/dashboard/index.html",
            "dashboard/index.html\0",
            "Dashboard/index.html",
            "__init__.py",
            "../errors.py",
            "/etc/passwd",
        ):
            with self.subTest(name=name):
                self.assertRaises(NotThere, asset, name)

    def test_who_has_it_already(self) -> None:
        page = asset("dashboard/index.html")
        for field in (page.etag, f"W/{page.etag}", f'"x", {page.etag}', f' "x"  ,{page.etag}', "*"):
            self.assertTrue(page.is_among(field), field)
        for field in ("", '"x"', page.etag.strip('"'), page.etag[:-1], f'"x{page.etag[1:]}', '"*"'):
            self.assertFalse(page.is_among(field), field)

    def test_pages_have_no_script_or_style_of_their_own_that_would_not_run(self) -> None:
        policy = PAGE_FIELDS["Content-Security-Policy"]
        self.assertNotIn("unsafe", policy)
        for name in names():
            if name.endswith(".html"):
                text = asset(name).content.decode("utf-8")
                with self.subTest(name=name):
                    self.assertEqual(
                        re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), []
                    )
                    scripts = re.findall(r"<script\b[^>]*>(.*?)</script>", text, re.DOTALL)
                    self.assertEqual([script for script in scripts if script.strip()], [])

    def test_nothing_is_loaded_from_elsewhere(self) -> None:
        for name in names():
            text = asset(name).content.decode("utf-8")
            far = r"""["']?\s*(?:https?:)?//"""
            loads = rf"(?:src|href)={far}|url\(\s*{far}|(?:from|import)\s*\(?\s*{far}"
            with self.subTest(name=name):
                self.assertEqual(re.findall(loads, text), [])
