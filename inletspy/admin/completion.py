"""Completion of `inletspy` in the shells, made from the parser of its arguments.

Knows what each shell wants to read, and no command.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["SHELLS", "script"]

_BASH: Final = """\
# bash: add to ~/.bashrc: eval "$(inletspy --completion bash)"
_inletspy() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} place= words= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$place ${{COMP_WORDS[i]}}" in
            {places}) place="$place ${{COMP_WORDS[i]}}" ;;
        esac
    done
    case $before in
        {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
        {values}) COMPREPLY=(); return ;;
    esac
    case $place in
{words}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _inletspy inletspy
"""
_ZSH: Final = """\
# zsh: add to ~/.zshrc, after compinit: eval "$(inletspy --completion zsh)"
autoload -U +X bashcompinit && bashcompinit
"""
_FISH: Final = """\
# fish: inletspy --completion fish > ~/.config/fish/completions/inletspy.fish
complete -c inletspy -f
"""

#: Metavariables that stand for something in the file system.
_FILES: Final = ("DIR", "FILE", "PATH")


class _Place:
    """A command, or the program itself.

    Attributes:
        path: the words that lead there.
        commands: those that may follow, with what they do.
        options: its own.
    """

    def __init__(self, parser: argparse.ArgumentParser, path: tuple[str, ...]) -> None:
        self.path = path
        self.commands: dict[str, str] = {}
        self.options: list[argparse.Action] = []
        self.below: list[_Place] = []
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for choice in action._choices_actions:
                    self.commands[choice.dest] = choice.help or ""
                for name, sub in action.choices.items():
                    self.below.append(_Place(sub, (*path, name)))
            elif action.option_strings:
                self.options.append(action)

    def all(self) -> Iterator[_Place]:
        """This place and all below."""
        yield self
        for place in self.below:
            yield from place.all()


def _bash(root: _Place) -> str:
    places = list(root.all())
    options = {action.option_strings[-1]: action for p in places for action in p.options}
    valued = {name: action for name, action in options.items() if action.nargs != 0}
    files = sorted(name for name, action in valued.items() if action.metavar in _FILES)
    words = []
    for place in places:
        offered = [*place.commands, *(action.option_strings[-1] for action in place.options)]
        key = "".join(f" {word}" for word in place.path)
        words.append(f'        "{key}") words="{" ".join(offered)}" ;;')
    return _BASH.format(
        places="|".join(f'"{"".join(f" {word}" for word in p.path)}"' for p in places[1:]),
        files="|".join(files),
        values="|".join(sorted(valued.keys() - set(files))),
        words="\n".join(words),
    )


def _fish(root: _Place) -> str:
    lines = []
    for place in root.all():
        seen = [f"__fish_seen_subcommand_from {word}" for word in place.path]
        if place.commands:
            seen.append(f"not __fish_seen_subcommand_from {' '.join(place.commands)}")
        condition = "; and ".join(seen)
        for name, help in place.commands.items():
            lines.append(f"complete -c inletspy -n '{condition}' -a {name} -d {_quoted(help)}")
        for action in place.options:
            kind = "" if action.nargs == 0 else " -r -F" if action.metavar in _FILES else " -x"
            name = action.option_strings[-1].removeprefix("--")
            when = f" -n '{condition}'" if condition else ""
            lines.append(f"complete -c inletspy{when} -l {name}{kind} -d {_quoted(action.help)}")
    return _FISH + "\n".join(lines) + "\n"


def _quoted(text: str | None) -> str:
    """The help of something, for a shell, in one line."""
    plain = " ".join((text or "").split()).replace("%%", "%")
    return "'" + plain.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Final[dict[str, Callable[[_Place], str]]] = {
    "bash": _bash,
    "zsh": lambda root: _ZSH + _bash(root).partition("\n")[2],
    "fish": _fish,
}


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """What a shell reads to complete the command.

    Args:
        shell: one of `SHELLS`.
        parser: of the command's arguments.
    """
    return SHELLS[shell](_Place(parser, ()))
