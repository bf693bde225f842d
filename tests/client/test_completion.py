"""The completion scripts: complete, and good shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from inletspy.client import cli, connect
from inletspy.client.completion import SCRIPTS


class CompletionTests(SynchronousTestCase):
    def test_no_option_is_missing(self) -> None:
        options = {
            option.lstrip("-")
            for parser in (cli.parser(), connect.parser())
            for action in parser._actions
            for option in action.option_strings
            if option.startswith("--")
        }
        options.remove("token")  # exists only to say that it does not
        for shell, script in SCRIPTS.items():
            sign = "-l " if shell == "fish" else "--"
            missing = {option for option in options if f"{sign}{option}" not in script}
            self.assertEqual(missing, set(), shell)
            self.assertNotIn("--token ", script)

    def check_syntax(self, shell: str) -> None:
        if shutil.which(shell) is None:
            raise SkipTest(f"{shell} is not installed")
        ran = subprocess.run(
            [shell, "-n"], input=SCRIPTS[shell], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))

    def test_zsh(self) -> None:
        self.check_syntax("zsh")

    def test_zsh_knows_what_completes_it(self) -> None:
        if shutil.which("zsh") is None:
            raise SkipTest("zsh is not installed")
        script = f"""autoload -Uz compinit && compinit -u -D
{SCRIPTS["zsh"]}
print -r -- $_comps[tunnel]; functions -t _tunnel >/dev/null && whence -w _tunnel"""
        ran = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, timeout=60)
        self.assertEqual((ran.stdout, ran.stderr), ("_tunnel\n_tunnel: function\n", ""))

    def test_fish(self) -> None:
        self.check_syntax("fish")

    def test_fish_offers(self) -> None:
        if shutil.which("fish") is None:
            raise SkipTest("fish is not installed")
        for line, offered in (
            ("tunnel --na", ["--name"]),
            ("tunnel c", ["connect"]),
            ("tunnel connect db 0 --bi", ["--bind"]),
            ("tunnel 3000 --bi", []),
            ("tunnel 3000 t", ["tcp"]),
            ("tunnel 3000 --host-header re", ["rewrite"]),
            ("tunnel --completion ", ["bash", "fish", "zsh"]),
            ("tunnel 3000 --proxy-protocol ", ["v1", "v2"]),
        ):
            ran = subprocess.run(
                ["fish", "--no-config", "-c", f"{SCRIPTS['fish']}\ncomplete -C '{line}'"],
                capture_output=True,
                text=True,
                timeout=60,
                env={**os.environ, "HOME": str(Path(self.mktemp()).absolute())},
            )
            words = [found.partition("\t")[0] for found in ran.stdout.splitlines()]
            self.assertEqual((words, ran.stderr), (offered, ""), line)

    def completed(self, *words: str) -> list[str]:
        """What bash offers for the last word."""
        if shutil.which("bash") is None:
            raise SkipTest("bash is not installed")
        quoted = " ".join(f"'{word}'" for word in ("tunnel", *words))
        script = f"""{SCRIPTS["bash"]}
COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _tunnel; printf '%s\\n' "${{COMPREPLY[@]}}" """
        ran = subprocess.run(
            ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout.split()

    def test_bash(self) -> None:
        file = self.mktemp()
        Path(file).write_text("[services.web]\n#[services.x]\n[services.db] # y\nupstream = 1\n")
        for words, offered in (
            (("--na",), ["--name"]),
            (("c",), ["connect"]),
            (("connect", "db", "0", "--b"), ["--bind"]),
            (("connect", "db", "0", "--n"), []),
            (("connect", "d"), []),
            (("3000", "t"), ["tcp"]),
            (("3000", ""), ["http", "tcp"]),
            (("3000", "--host-header", "re"), ["rewrite"]),
            (("3000", "--name", "x"), []),
            (("--config", file, ""), ["web", "db"]),
            (("--config", file, "web", "d"), ["db"]),
            (("--config", file, "--js"), ["--json"]),
            (("--config", "nowhere.toml", ""), []),
            (("--completion", ""), ["bash", "zsh", "fish"]),
        ):
            self.assertEqual(self.completed(*words), offered)
        self.assertIn("--json", self.completed("3000", "-"))
