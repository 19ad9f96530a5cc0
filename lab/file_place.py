# SPDX-License-Identifier: GPL-2.0-only
"""Creates folders and files where a user said, without following other users' links.

userspace/system/file_place.h has the rule, and why paths are resolved part by part.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

from lab_error import LabError

_MOST_LINKS = 40
_SHARED = stat.S_ISVTX | stat.S_IWOTH


def check(path: Path) -> None:
    """LabError if write() would refuse a link; OSError if the folder does not exist."""
    with _Walk(path) as walk:
        walk.to_name()


def write(path: Path, data: bytes) -> None:
    """Writes a file atomically; replaces an existing one."""
    with _Walk(path) as walk:
        name, temporary = walk.to_name(), f".exittop-{os.getpid()}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=walk.folder)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
                             0o666, dir_fd=walk.folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, name, src_dir_fd=walk.folder, dst_dir_fd=walk.folder)
        except BaseException:
            os.unlink(temporary, dir_fd=walk.folder)
            raise


def make_folder(path: Path) -> None:
    """Creates the folder and its parents if they do not exist."""
    with _Walk(path) as walk:
        walk.make_all()


class _Walk:
    """Walks a path from folder to folder; an OSError names that path."""

    def __init__(self, path: Path):
        self.folder = -1
        self._path = path
        self._shown = Path()        # where the folder is, for messages
        self._parts = []
        self._links = 0

    def __enter__(self):
        self._go_on_to(str(self._path))
        return self

    def __exit__(self, _, error, __):
        os.close(self.folder)
        if isinstance(error, OSError):
            raise OSError(error.errno, os.strerror(error.errno), str(self._path)) from None

    def to_name(self) -> str:
        """Enters the last folder of the path; returns the name in it, which is not a link."""
        while self._parts:
            part = self._parts.pop(0)
            if self._parts:
                self._enter(part)
            elif not self._follow(part):
                return part
        raise OSError(errno.EISDIR, "")

    def make_all(self) -> None:
        while self._parts:
            part = self._parts.pop(0)
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=self.folder)
            self._enter(part)

    def _go_on_to(self, path: str) -> None:
        self._parts[:0] = [part for part in path.split("/") if part]
        if self.folder < 0 or path.startswith("/"):
            self._shown = Path("/" if path.startswith("/") else "")
            self._move(os.open(self._shown, os.O_PATH | os.O_DIRECTORY))

    def _move(self, folder: int) -> None:
        if self.folder >= 0:
            os.close(self.folder)
        self.folder = folder

    def _enter(self, part: str) -> None:
        try:
            folder = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.folder)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP) or not self._follow(part):
                raise
        else:
            self._move(folder)
            self._shown /= part

    def _follow(self, part: str) -> bool:
        """Whether it is a link; its target then comes next."""
        try:
            link = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=self.folder)
        except FileNotFoundError:
            return False
        try:
            facts = os.fstat(link)
            if not stat.S_ISLNK(facts.st_mode):
                return False
            self._links += 1
            if self._links > _MOST_LINKS:
                raise OSError(errno.ELOOP, "")
            self._require_trusted(part, facts.st_uid)
            self._go_on_to(os.readlink("", dir_fd=link))
            return True
        finally:
            os.close(link)

    def _require_trusted(self, part: str, owner: int) -> None:
        folder = os.fstat(self.folder)
        if folder.st_mode & _SHARED != _SHARED or owner in (os.geteuid(), folder.st_uid):
            return
        link = self._shown / part
        it = "it" if link == self._path else f"'{link}'"
        raise LabError(f"cannot write '{self._path}': {it} is a link of user {owner} in a folder "
                       "that everyone can write to; remove it or name the file itself")
