# SPDX-License-Identifier: GPL-2.0-only
"""Files are written where the user said, not where somebody else's link leads."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

from command_line import FAILED, SOURCE, CommandLineTest, needs_root, run

sys.path.insert(0, str(SOURCE / "lab"))

import file_place
from lab_error import LabError

RUN = SOURCE / "tests/golden/dump.json"
NOBODY = 65534


@needs_root
class SharedFolderTest(CommandLineTest):
    """In a folder like /tmp; whatever the kernel's fs.protected_symlinks says."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="exittop-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.private = self.folder / "private"
        self.private.mkdir()
        (self.private / "file").write_text("private")
        self.log = self.private / "log"
        self.log.write_text("exit number 48 exits = 35708\n")
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o1777)

    def link(self, name: str, target: str, owner: int) -> Path:
        link = self.shared / name
        link.symlink_to(target)
        os.lchown(link, owner, owner)
        return link

    def assert_refused(self, link: Path, *arguments) -> None:
        self.assert_error(run(*arguments), FAILED,
                          f"cannot write '{link}': it is a link of user {NOBODY} in a folder that "
                          "everyone can write to; remove it or name the file itself")
        self.assertEqual((self.private / "file").read_text(), "private")
        self.assertFalse((self.private / "new").exists())

    def test_links_of_others_are_not_followed(self):
        for name in ("file", "new"):
            link = self.link(f"{name}.json", f"../private/{name}", NOBODY)
            for force in ([], ["--force"]):
                self.assert_refused(link, "import", *force, "-o", link, self.log)
                self.assert_refused(link, "record", *force, "-o", link, "--", "true")
                self.assert_refused(link, "compare", *force, "--html", link, RUN)
                self.assert_refused(link, "experiment", *force, "--html", link, "--yes", "--",
                                    "true")

    def test_nor_folders_that_are_links_of_others(self):
        self.link("way", "../private", NOBODY)
        self.assert_error(run("import", "-o", self.shared / "way/new", self.log), FAILED,
                          f"new': '{self.shared}/way' is a link of user {NOBODY} in a folder")
        self.assertFalse((self.private / "new").exists())

    def test_own_links_are_followed(self):
        link = self.link("own.json", "../private/file", 0)
        done = run("import", "--force", "-o", link, self.log)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("35708", (self.private / "file").read_text())
        self.assertTrue(link.is_symlink())

    def test_the_lab_follows_the_same_links(self):
        file, way = self.link("file", "../private/file", NOBODY), self.link("w", "..", NOBODY)
        for write, named in ((lambda: file_place.write(file, b"x"), "it"),
                             (lambda: file_place.check(file), "it"),
                             (lambda: file_place.write(way / "private/file", b"x"), f"'{way}'"),
                             (lambda: file_place.make_folder(way / "private/new"), f"'{way}'")):
            with self.assertRaisesRegex(LabError, f": {named} is a link of user {NOBODY} in a "):
                write()
        self.assertEqual([path.name for path in sorted(self.private.iterdir())], ["file", "log"])
        self.assertEqual((self.private / "file").read_text(), "private")
        file_place.write(self.link("own", "../private/file", 0), b"mine")
        self.assertEqual((self.private / "file").read_text(), "mine")

    def test_the_lab_is_told_early(self):
        page = self.link("page.html", "../private/new", NOBODY)
        self.assert_error(run("lab", "amd", "--html", page), FAILED, f"a link of user {NOBODY}")


class LabFilesTest(CommandLineTest):
    """What the lab writes, seen alone."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="exittop-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_folders_and_files(self):
        (self.folder / "one").mkdir()
        (self.folder / "link").symlink_to("one")
        for _ in range(2):
            file_place.make_folder(self.folder / "link/../link/a/b")
            file_place.write(self.folder / "link/a/b/file", b"text")
        file_place.write(Path(os.path.relpath(self.folder / "one/other")), b"other")
        self.assertEqual(sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*")),
                         ["link", "one", "one/a", "one/a/b", "one/a/b/file", "one/other"])
        self.assertEqual((self.folder / "one/a/b/file").read_bytes(), b"text")

    def test_errors_are_of_the_whole_path(self):
        (self.folder / "file").touch()
        (self.folder / "circle").symlink_to("circle")
        for name, kind in (("no/file", FileNotFoundError), ("file/x", NotADirectoryError),
                           ("circle/x", OSError), ("circle", OSError)):
            with self.subTest(name), self.assertRaises(kind) as raised:
                file_place.write(self.folder / name, b"x")
            self.assertEqual(raised.exception.filename, str(self.folder / name))
        with self.assertRaises(IsADirectoryError):
            file_place.write(self.folder, b"x")
        self.assertEqual(sorted(os.listdir(self.folder)), ["circle", "file"])


if __name__ == "__main__":
    unittest.main()
