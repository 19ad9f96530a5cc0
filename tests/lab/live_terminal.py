# SPDX-License-Identifier: GPL-2.0-only
"""A terminal in an emulated host, in which a job drives the live view key by key: tmux. What a
screen held comes back as a file of its name."""

import shutil
from pathlib import Path

from lab_error import HOST_LACKS, LabError

# Shell functions, for the beginning of a job's script.
SHELL = r"""
export LC_ALL=C.UTF-8 TERM=linux
cd /out
fail() { echo "failed at: $*" >>/out/failed; }
screen() { tmux capture-pane -p -t live >/out/$1.txt; }
keys() { tmux send-keys -t live "$@"; }
# Waits until the screen holds a text, and keeps it under the name.
see() {
    for i in $(seq 60); do
        screen $1
        if grep -qF -- "$2" /out/$1.txt; then return 0; fi
        # It will not appear if exittop has ended.
        if [ $i -gt 10 ] && grep -q '^status=[^0]' /out/$1.txt; then break; fi
        sleep 0.2
    done
    fail "$1: no '$2' on the screen"
    grep . /out/$1.txt
    cat /out/live.err
    exit 1
}
# Waits until a command says yes of the screen's text, which is kept under the name, too.
see_that() {
    name=$1
    shift
    for i in $(seq 60); do
        screen $name
        if "$@" /out/$name.txt; then return 0; fi
        sleep 0.2
    done
    fail "$name: not $*"
    grep . /out/$name.txt
    exit 1
}
lacks() { ! grep -qF -- "$1" "$2"; }
gone() {
    for i in $(seq 50); do pidof exittop >/dev/null || return 0; sleep 0.2; done
    return 1
}
# live [OPTIONS [ENVIRONMENT]]
live() {
    # From a shell with job control: SIGTSTP stops nothing in a process group without one.
    tmux -u -f /dev/null new-session -d -s live -x 110 -y 24 sh
    see shell "#"
    keys "echo before; $2 exittop $1 2>>/out/live.err; echo status=\$?" Enter
    for i in $(seq 50); do pidof exittop >/dev/null && return 0; sleep 0.2; done
    screen not_started
    cat /out/not_started.txt /out/live.err
    fail "exittop does not start"
    exit 1
}
live_pid() { for p in $(pidof exittop); do grep -q dump /proc/$p/cmdline || echo $p; done; }
"""


def files() -> dict[str, Path]:
    """What a terminal needs: its description, and a locale that has UTF-8."""
    wanted = {"s/screen": "terminfo", "s/screen-256color": "terminfo",
              "t/tmux-256color": "terminfo", "l/linux": "terminfo", "v/vt100": "terminfo",
              "C.utf8/LC_CTYPE": "locale"}
    result = {}
    for name, kind in wanted.items():
        folders = ("/lib/terminfo", "/usr/share/terminfo") if kind == "terminfo" else (
            "/usr/lib/locale",)
        found = [Path(folder) / name for folder in folders if (Path(folder) / name).is_file()]
        if not found:
            raise LabError(f"{name} is in none of {', '.join(folders)}", HOST_LACKS)
        result[str(found[0])] = found[0]
    return result


def programs() -> dict[str, Path]:
    """For Job.programs."""
    path = shutil.which("tmux")
    if not path:
        raise LabError("tmux is missing: install the package tmux", HOST_LACKS)
    return {"/bin/tmux": Path(path)}
