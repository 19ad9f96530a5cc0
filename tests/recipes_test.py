# SPDX-License-Identifier: GPL-2.0-only
"""The commands in CONTRIBUTING.md and docs/: cheap ones are run; for the others, every script,
option, target, test and file that they name must exist. So must the tests and the environment
variables that these pages name."""

import functools
import json
import os
import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "cli"))

from command_line import BUILD, SOURCE, run_program

PAGES = sorted([SOURCE / "CONTRIBUTING.md", *(SOURCE / "docs").glob("*.md")])
# Commands that are run as they are, and what they print.
RUN = {
    "build/release/exittop_unit --gtest_filter='Table.*'": r"\[  PASSED  \] [1-9]",
    "tests/run.sh --help": "all .*\n.*lint",
    "EXITTOP_BUILD=$PWD/build/release python3 -B tests/cli/usage_test.py": r"Ran [1-9].*\s+OK",
}
# What an inline command begins with, after assignments.
PROGRAM = re.compile(r"(?:\w+=\S+ )*"
                     r"(?:exittop|ctest|git|python3|(?:build|cmake|docs|lab|tests)/\S+) ")


def commands() -> dict[str, Path]:
    """Those of code blocks and those in the text, each with its page."""
    found = {}
    for page in PAGES:
        blocks = re.compile(r"(?ms)^```\w*\n(.*?)^```$")
        lines = "".join(blocks.findall(page.read_text())).replace("\\\n", " ").splitlines()
        inline = re.findall(r"`([^`]+)`", blocks.sub("", page.read_text()))
        for line in [*lines, *inline]:
            plain = " ".join(re.sub(r"^sudo |\s+#.*", "", line).split())
            if PROGRAM.match(plain + " ") and (" " in plain or line in lines):
                found[plain] = page
    return found


@functools.cache
def variables() -> set[str]:
    """EXITTOP_* variables that any source reads; one that ends in "_" is the start of several."""
    files = subprocess.run(["grep", "-rhE", "environ|getenv", "lab", "tests", "userspace"],
                           cwd=SOURCE, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r'(?:environ\.get|getenv)\(f?"(EXITTOP_\w+)', files))


def is_read(name: str) -> bool:
    return any(name == read or (read.endswith("_") and name.startswith(read))
               for read in variables())


def executables() -> set[str]:
    listed = subprocess.run(["grep", "-rhoE", r"add_executable\(\w+", "--include=CMakeLists.txt",
                             "guest", "lab", "tests", "userspace"],
                            cwd=SOURCE, capture_output=True, text=True, check=True).stdout
    return {line.partition("(")[2] for line in listed.splitlines()}


class RecipesTest(unittest.TestCase):
    def built(self, word: str) -> str:
        """The word with this build in place of build/release; what it names must be there."""
        found = re.search(r"build/release(/[\w/]+)?", word)
        if not found:
            return word
        path = f"{BUILD}{found[1] or ''}"
        if not Path(path).exists():
            self.assertTrue(found[1].lstrip("/") in {*executables(), "lab/guests"}, word)
            self.skipTest(f"{path} is not built")
        return word.replace("$PWD/", "").replace(found[0], path)

    def run_here(self, words: list[str]):
        assigned = dict(word.split("=", 1) for word in words if re.match(r"\w+=", word))
        rest = [word for word in words if not re.match(r"\w+=", word)]
        return run_program(*rest, cwd=SOURCE, env=os.environ | assigned, timeout=300)

    def test_commands(self):
        found = commands()
        self.assertGreater(len(found), 12)
        self.assertEqual(set(RUN) - set(found), set(), "run, but on no page")
        for command, page in found.items():
            with self.subTest(f"{page.name}: {command}"):
                for name in re.findall(r"\b(EXITTOP_\w+)=", command):
                    self.assertTrue(is_read(name), f"no source reads {name}")
                words = [self.built(word) for word in shlex.split(command)]
                if command in RUN:
                    done = self.run_here(words)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertRegex(done.stdout + done.stderr, RUN[command])
                else:
                    self.check(words)

    def check(self, words: list[str]) -> None:
        """Of a command that takes long or changes files: all that it names exists."""
        while re.match(r"\w+=", words[0]):
            del words[0]
        program, *arguments = words
        if not program.startswith("/") and "/" in program:
            self.assertTrue(os.access(SOURCE / program, os.X_OK), f"{program} cannot be run")
        if program == "cmake/build.sh":
            self.check_build(*arguments)
        elif program == "tests/run.sh":
            parts = re.search(r"\[([\w|]+)\]", run_program(SOURCE / program, "--help").stdout)[1]
            self.assertLessEqual(set(arguments), set(parts.split("|")))
        elif program == "git":
            self.assertTrue((SOURCE / arguments[-1]).exists())
        elif program == "ctest":
            self.assertTrue(tests(*arguments), "selects no test")
        elif not program.endswith("exittop_unit") or arguments:
            self.check_options(program, arguments)

    def check_build(self, preset: str, with_tests: str, *targets: str) -> None:
        presets = json.loads((SOURCE / "CMakePresets.json").read_text())["configurePresets"]
        self.assertIn(preset, [one["name"] for one in presets if not one.get("hidden")])
        self.assertIn(with_tests, ("ON", "OFF"))
        self.assertLessEqual(set(targets), executables())

    def check_options(self, program: str, arguments: list[str]) -> None:
        """By its --help; kernels and vendors by the lab's list."""
        if program == "exittop":
            program = self.built("build/release/exittop")
        elif program == "tests/bench/overhead":     # a script that first installs and builds
            program = "python3"
            arguments = ["-B", "tests/bench/overhead.py", "--build", str(BUILD), *arguments]
        if "--" in arguments:
            del arguments[arguments.index("--"):]
        done = self.run_here([program, *arguments, "--help"])
        self.assertEqual(done.returncode, 0, done.stderr)
        for option in (word for word in arguments if word.startswith("--")):
            self.assertRegex(done.stdout, rf"{option}\b")
        matrix = json.loads((SOURCE / "lab/kernels.json").read_text())
        given = dict(zip(arguments, arguments[1:]))
        kernel = given.get("--kernel", matrix["default"])
        self.assertIn(kernel, matrix["kernels"])
        self.assertIn(given.get("--vendor", "amd"), matrix["kernels"][kernel]["vendors"])

    def test_tests(self):
        """`lab.cost`, `lab.clang.*`"""
        for page in PAGES:
            for name in re.findall(r"`((?:lab|cli|bench|bpf|lint|distro)\.[\w.*]+)`",
                                   page.read_text()):
                if not re.search(r"\.(py|sh|json)$", name):
                    with self.subTest(f"{page.name}: {name}"):
                        self.assertTrue(tests("-R", f"^{name.replace('.*', '[.].*')}$"))

    def test_environment_variables(self):
        table = re.findall(r"(?m)^\| `(EXITTOP_\w+)=", (SOURCE / "docs/hacking.md").read_text())
        self.assertEqual([name for name in table if not is_read(name)], [])
        unnamed = [read for read in variables()
                   if not any(name.startswith(read) for name in table)]
        self.assertEqual(unnamed, [], "not in docs/hacking.md")


def tests(*selection: str) -> list[str]:
    """Names of the tests that ctest selects."""
    words = [word for word in selection if word != "-V"]
    if "--test-dir" not in words:
        words += ["--test-dir", str(BUILD)]
    done = run_program("ctest", "-N", *words)
    return re.findall(r"(?m)^ *Test +#\d+: (\S+)", done.stdout)


if __name__ == "__main__":
    unittest.main()
