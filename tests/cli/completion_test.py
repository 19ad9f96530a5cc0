# SPDX-License-Identifier: GPL-2.0-only
"""Completion in real shells: every command and option that the help has, their values, files."""

import os
import re
import tempfile
import time
import unittest
from pathlib import Path

import documented
from command_line import BUILD, SOURCE, run_program

FOLDER = SOURCE / "deploy/completions"
ENVIRONMENT = os.environ | {"PATH": f"{BUILD}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
# What stands before the cursor, and what all shells are to offer there.
VALUES = {
    "exittop dump --format ": {"table", "json", "csv"},
    "exittop dump --format j": {"json"},
    "exittop reasons --isa ": {"vmx", "svm"},
    "exittop --color a": {"auto", "always"},
    "exittop dump --targets ": {"all", "rip"},
    "exittop experiment --targets ": {"all", "rip", "none"},
    "exittop live --target-memory ": set(),
    "exittop lab --workload ": {"linux", "micro"},
    "exittop du": {"dump"},
    "exittop dump --pid ": set(),
    "exittop dump --duration ": set(),
    "exittop dump --a/b x": set(),
    "exittop dump oth": set(),
    "exittop dump -- cma": {"cmake"},
    "exittop compare run-": {"run-a.json", "run-b.json"},
    "exittop export --textfile run-a": {"run-a.json"},
}
_BASH = r"""
source "$0/exittop.bash"
while IFS= read -r line; do
    read -ra COMP_WORDS <<<"$line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    compopt() { :; }    # belongs to completion by the Tab key
    _exittop exittop "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[@]}"
done
"""


def options_of(command: str) -> set[str]:
    found = re.findall(r"(?m)^ +(?:-\w, ?)?(--[\w-]+)", documented.help_text(command))
    return set(found)


def expectations() -> dict[str, set[str]]:
    commands = set(re.findall(r"(?m)^  (\w+) {2,}\S", documented.help_text()))
    expected = {"exittop ": commands, "exittop --": options_of("live") | {"--version"}}
    expected |= {f"exittop {command} --": options_of(command) for command in commands}
    return expected | VALUES


class CompletionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="exittop-complete-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        for name in ("run-a.json", "run-b.json", "other"):
            (cls.folder / name).touch()
        cls.expected = expectations()

    def run_here(self, *command, **more):
        return run_program(*command, env=ENVIRONMENT, cwd=self.folder, **more)

    def assert_offers(self, line: str, offered: set[str]) -> None:
        want = self.expected[line]
        offered = offered - {"--"}      # zsh completes that, too
        # Behind a "--", commands of this machine that begin the same are offered, too.
        self.assertTrue(want <= offered if " -- " in line else want == offered,
                        f"{line!r} offers {sorted(offered)}, not {sorted(want)}")

    def test_there_are_enough(self):
        self.assertGreaterEqual(len(self.expected), 18)
        self.assertIn("--textfile", self.expected["exittop export --"])

    def test_bash(self):
        lines = list(self.expected)
        done = self.run_here("bash", "-c", _BASH, FOLDER, input="\n".join(lines) + "\n", stdin=None)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for line, offered in zip(lines, done.stdout.splitlines(), strict=True):
            with self.subTest(line):
                self.assert_offers(line, set(offered.split()))

    def test_fish(self):
        for line in self.expected:
            with self.subTest(line):
                done = self.run_here("fish", "--no-config", "-c",
                                     f"source {FOLDER}/exittop.fish; complete -C '{line}'")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assert_offers(line, {offer.split("\t")[0]
                                          for offer in done.stdout.splitlines()})


class ZshTest(CompletionTest):
    """zsh completes for its line editor alone: one in a terminal, asked with Ctrl-D."""
    test_bash = test_fish = test_there_are_enough = None

    def setUp(self):
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "60", "zsh", "-f")
        self.addCleanup(self.tmux, "kill-server")
        self.type(f"PS1='> '; fpath=({FOLDER} $fpath); LISTMAX=1000")
        self.type("autoload -U compinit; compinit -u -D; zstyle ':completion:*' list-packed no")
        self.type("clear; echo rea''dy")
        self.screen_with("ready")

    def tmux(self, *arguments: str) -> str:
        return self.run_here("tmux", "-S", self.folder / "tmux", *arguments).stdout

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def screen_with(self, mark: str) -> str:
        deadline = time.monotonic() + 60
        while mark not in (screen := self.tmux("capture-pane", "-p")):
            self.assertLess(time.monotonic(), deadline, f"no {mark!r} in:\n{screen}")
            time.sleep(0.05)
        return screen

    def offered(self, number: int, line: str) -> set[str]:
        """The list below the line; what is typed behind it shows that the list is complete."""
        self.tmux("send-keys", "C-u", "C-l")
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "C-d")
        self.tmux("send-keys", "-l", f"@{number}@")
        _, *rows = self.screen_with(f"{line}@{number}@").splitlines()
        text = "\n".join(re.sub(r" +-- .*", "", row) for row in rows)
        return set(text.split())

    def test_zsh(self):
        for number, line in enumerate(self.expected):
            with self.subTest(line):
                self.assert_offers(line, self.offered(number, line))


if __name__ == "__main__":
    unittest.main()
