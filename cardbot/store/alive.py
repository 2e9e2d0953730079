"""Life signs of the stores on one SQLite file: a lock on a small file beside the database, one for each open store.

The kernel drops the lock when the process ends, however it ends, so a death shows at once and needs no clock. Unlike
POSIX record locks, `flock` belongs to one opening of a file: two stores of one process are two, and closing one does
not drop the other's (documented: man7.org/linux/man-pages/man2/flock.2.html, read 2026-11). In the file stands the
DingTalk app that the store was opened for.

Whoever shows or looks holds the database's write lock, so nobody sees a sign that is half made, or takes the lock of
somebody who is only looking for a life sign.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

LONGEST_APP = 4096
"""Bytes of an app's id that are read. Our choice: many times any client id."""


class LifeSign:
    """One open store's sign. `process` names it, and so its owner."""

    def __init__(self, database: Path, app: str) -> None:
        self.process = uuid4().hex
        # SQLite too puts its companions beside the file itself, wherever links to it may be.
        self._stem = f"{database.resolve()}-alive-"
        self._path = Path(self._stem + self.process)
        self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.geteuid() == 0:  # as SQLite does with its own: or the bot of another user could not look at it
                owner = os.stat(database)
                os.fchown(self._file, owner.st_uid, owner.st_gid)
            os.write(self._file, app.encode())
        except BaseException:
            self.withdraw()
            raise

    def living(self) -> dict[str, str]:
        """Whose stores on this database are open, this one included: the app of each process.

        Signs that the dead have left are removed.
        """
        stem = Path(self._stem)
        signs = [path for path in stem.parent.iterdir() if path.name.startswith(stem.name)]
        apps = {path.name.removeprefix(stem.name): _app_of_living(path) for path in signs}
        return {process: app for process, app in apps.items() if app is not None}

    def withdraw(self) -> None:
        """Live no more. The sign goes before its lock, so that nobody meets it unlocked."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._file)


def _app_of_living(path: Path) -> str | None:
    """Whose sign it is; `None` if its store is not open any more."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # its store was left in this moment
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return os.read(file, LONGEST_APP).decode()
    finally:
        os.close(file)
    return None
