"""The completion scripts of `inletspy`: complete, and good shell."""

from __future__ import annotations

import shutil
import subprocess
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from inletspy.admin.completion import SHELLS, script
from inletspy.admin.main import COMMANDS, _parser


class CompletionTests(SynchronousTestCase):
    def script(self, shell: str) -> str:
        """What that shell reads."""
        return script(shell, _parser())

    def run_in(self, shell: str, text: str, *options: str) -> str:
        """What a shell prints; skips where there is none."""
        if shutil.which(shell) is None:
            raise SkipTest(f"{shell} is not installed")
        ran = subprocess.run(
            [shell, *options], input=text, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def test_good_shell(self) -> None:
        for shell in SHELLS:
            if shutil.which(shell) is not None:
                self.run_in(shell, self.script(shell), "-n")

    def offered(self, *words: str) -> set[str]:
        """What bash offers for the last of the words."""
        line = " ".join(f"'{word}'" for word in words)
        text = f"""{self.script("bash")}
COMP_WORDS=(inletspy {line}) COMP_CWORD={len(words)}
_inletspy
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        return set(self.run_in("bash", text, "--norc").split())

    def test_bash_offers(self) -> None:
        self.assertEqual(self.offered("to"), {"token", "top"})
        self.assertEqual(len(self.offered("") - self.offered("-")), len(COMMANDS))
        self.assertEqual(self.offered("token", "cr"), {"create"})
        self.assertEqual(self.offered("token", "create", "--us"), {"--user"})
        self.assertEqual(self.offered("token", "create", "--user", ""), set())
        self.assertLessEqual({"--json", "--sort", "--own"}, self.offered("top", "--"))
        self.assertEqual(self.offered("--data-dir", "/dev/nul"), {"/dev/null"})
        self.assertEqual(self.offered("--data-dir", "/x", "top", "--own", "--so"), {"--sort"})

    def test_zsh(self) -> None:
        text = f"autoload -Uz compinit && compinit -u -D\n{self.script('zsh')}\nwhence -w _inletspy"
        self.assertEqual(self.run_in("zsh", text, "-f"), "_inletspy: function\n")

    def test_fish_offers(self) -> None:
        text = self.script("fish") + "complete -C 'inletspy to'\ncomplete -C 'inletspy top --so'\n"
        printed = self.run_in("fish", text, "--no-config")
        self.assertEqual(
            [line.split("\t")[0] for line in printed.splitlines()], ["token", "top", "--sort"]
        )
