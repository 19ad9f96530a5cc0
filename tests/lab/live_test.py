# SPDX-License-Identifier: GPL-2.0-only
"""The live view, end to end: in tmux, on a real kernel with real VMs, key by key.

A dump counts over the same time, so the sums on the screen must be the dump's to the last exit.
What each screen held comes back as a file of its name.
"""

import json
import re
import sys

import harness
from counts import Mismatch

import live_terminal
import workloads
from emulated_host import Job, Result

_SCRIPT = live_terminal.SHELL + r"""
# Rows whose rates are much the same change places: it is the row that tells, not what is in it.
marks_second_row() { grep -A2 "^ REASON" "$1" | tail -n 1 | grep -q "^>"; }
# stands_still FILE: below the lines with the clock, the screen is as it was 1.5 seconds before.
stands_still() {
    tail -n +4 "$1" >/tmp/before
    sleep 1.5
    screen later
    tail -n +4 /out/later.txt | cmp -s - /tmp/before
}
step "before the vendor's module"
load_kvm_core
live
see waiting "Waiting for kvm_intel or kvm_amd"
load_kvm 1
see no_vm "exittop lab"

step "two guests and a hostile one"
cat >/tmp/guests.sh <<'END'
micro_vm --rounds 100000000 --vcpus 2 -- qemu-system-x86_64 -name guest=alpha >/dev/null &
echo $! >>/tmp/guests
micro_vm --rounds 100000000 -- firecracker --id beta >/dev/null &
echo $! >>/tmp/guests
micro_vm --rounds 3 --end-ms 900000 -- \
    qemu-system-x86_64 -name "$(printf 'evil\033[2J\n\377%4000s' long)" >/dev/null &
echo $! >>/tmp/guests
wait
END
exittop dump --format json -- /bin/busybox sh /tmp/guests.sh >/out/dump.json 2>/out/dump.err &
see vms beta
see vms alpha
see hostile evil

step "down and back"
keys g
keys Enter
see reasons cpuid
keys Down
see_that reasons_down marks_second_row
keys Tab
see vcpus "vCPU 1"
keys Tab
keys Enter
see histogram "time per exit"
see_that targets grep -qE '(port|leaf) 0x'
keys Tab
see reason_vcpus ">all vCPUs"
keys Tab
see_that targets_again grep -q "MEAN TARGET"
keys Escape
see_that reasons_again lacks "time per exit"
keys Escape
see vms_again "VMs"

step "filter, sort, pause"
keys / b e t
see_that filtered lacks alpha
keys Enter
keys Escape
keys s
see picker "SORT BY"
keys Down Down Down Down Down Enter
see sorted "by name"
keys r
see reversed "reversed"
keys r
keys Space
see paused PAUSED
screen paused_then
# Three refreshes that must not come.
sleep 3
screen paused_later
keys Space
keys m
see_that measured grep -q "[0-9] ns/event"
keys b
see_that ratio grep -q "[0-9][.][0-9][0-9]x"
keys b
keys w
see wrote "wrote exittop-"
for i in $(seq 25); do ls exittop-*.json >/dev/null 2>&1 && break; sleep 0.2; done
mv exittop-*.json run.json

step "sizes"
tmux resize-window -t live -x 40 -y 10
see_that narrow lacks PID
tmux resize-window -t live -x 20 -y 5
see tiny "EXITS/s"
tmux resize-window -t live -x 110 -y 24
see large "LAST MINUTE"

step "terminals"
# shown NAME OPTIONS ENVIRONMENT: the first screen, with the sequences for colours, under that name.
shown() {
    tmux rename-session -t live first
    live "$2" "$3"
    see $1 alpha
    see $1 "x "
    tmux capture-pane -e -p -t live >/out/$1.ansi
    if [ $1 = colors256 ]; then
        # What such a terminal sends for a click into the sixth line, and for a turn of the wheel.
        keys -l "$(printf '\033[M &&')"
        see clicked ">beta"
        keys -l "$(printf '\033[M`&&')"
        see wheeled ">alpha"
    fi
    keys q
    see $1.quit "status=0"
    tmux kill-session -t live
    tmux rename-session -t first live
}
shown colors256 "--baseline /out/run.json" TERM=tmux-256color
shown colors8 "--baseline /out/run.json" TERM=screen
shown colors0 "--baseline /out/run.json" TERM=vt100
shown no_color "--ascii --baseline /out/run.json" "NO_COLOR=1 TERM=tmux-256color"

step "sums"
keys e
keys c
kill $(cat /tmp/guests)
wait
see_that sums stands_still
keys q
see quit "status=0"
tmux kill-session -t live

step "a VM without exits, beside one with exits"
micro_vm --rounds 100000000 -- qemu-system-x86_64 -name guest=asleep >/dev/null & asleep=$!
micro_vm --rounds 100000000 -- firecracker --id awake >/dev/null & awake=$!
until ls -l /proc/$asleep/fd | grep -q kvm-vcpu; do sleep 0.1; done
kill -STOP $asleep
live
see silent_beside awake
see silent "no exit seen"
kill -CONT $asleep
see_that woken grep -Eq "asleep .*cpuid [0-9]"
keys q
see silent.quit "status=0"
tmux kill-session -t live
kill $asleep $awake

step "stop and continue"
live
see again "No VM"
kill -TSTP $(live_pid)
see stopped before
keys fg Enter
see continued "No VM"
keys q
gone || fail "q does not end it"
tmux kill-session -t live

step "signals"
live
see again "No VM"
kill -TERM $(live_pid)
see terminated "status=0"
tmux kill-session -t live
live
see again "No VM"
keys C-c
see interrupted "status=0"
tmux kill-session -t live
live
see again "No VM"
tmux kill-session -t live
gone || fail "a closed terminal does not end it"
grep -ls ^prog_type /proc/[0-9]*/fdinfo/* && fail "BPF programs are left"
tmux kill-server
[ ! -e /out/failed ]
"""


def _rows(screen: str) -> dict[str, str]:
    """The lines of the first screen by VM name."""
    lines = screen.splitlines()
    heading = next((i for i, line in enumerate(lines) if "NAME" in line), None)
    if heading is None:
        raise Mismatch(f"no list of VMs on the screen:\n{screen}")
    rows = [line[1:] for line in lines[heading + 1:-1] if line.strip()]
    return {line.split()[0].split("\\")[0]: line for line in rows}


def _expect(condition: bool, what: str, screen: str) -> None:
    if not condition:
        raise Mismatch(f"{what}:\n{screen}")


def check_sums(result: Result) -> None:
    """The sums on the last screen are those of the dump."""
    run = json.loads(result.text("dump.json"))
    screen = result.text("sums.txt")
    rows = _rows(screen)
    for vm in run["vms"]:
        exits = sum(stats["count"] for vcpu in vm["vcpus"] for stats in vcpu["exits"])
        name = "evil" if vm["name"].startswith("evil") else vm["name"]
        row = rows.get(name, "")
        _expect(f" {exits:,} " in row, f"VM {name} has {exits:,} exits in the dump, but not in the "
                f"live view", screen)
        print(f"  {name}: {exits:,} exits on the screen and in the dump")


def check_screens(result: Result) -> None:
    def text(name: str) -> str:
        return result.text(name + ".txt")

    _expect("No VM has exited" in text("no_vm"), "no word of there being no VM", text("no_vm"))
    rows = _rows(text("vms"))
    _expect({"alpha", "beta"} <= rows.keys(), "not both VMs", text("vms"))
    _expect("\\x1b[2J" in text("hostile"), "the hostile name is not escaped", text("hostile"))
    for part in ("alpha", "KERNEL", "P99", "cpuid"):
        _expect(part in text("reasons"), f"no {part}", text("reasons"))
    selected = [re.search(r"^>(\S+)", text(name), re.MULTILINE)
                for name in ("reasons_down", "reasons_again")]
    _expect(all(selected) and selected[0][1] == selected[1][1], "the way back lost the selection",
            text("reasons_down") + text("reasons_again"))
    _expect("█" in text("histogram"), "no bars", text("histogram"))
    _expect(set(_rows(text("filtered"))) == {"beta"}, "the filter is wrong", text("filtered"))
    _expect(list(_rows(text("sorted")))[:2] == ["alpha", "beta"], "not by name", text("sorted"))
    _expect(text("paused_then") == text("paused_later"), "a paused screen changes",
            text("paused_then") + text("paused_later"))
    _expect(re.search(r"\d ns/event", text("measured")) is not None, "no cost per event",
            text("measured"))
    _expect(re.search(r"\d\.\d\dx", text("ratio")) is not None, "no ratios", text("ratio"))
    for name, width, height in (("narrow", 40, 10), ("tiny", 20, 5)):
        lines = text(name).splitlines()
        _expect(len(lines) <= height and max(map(len, lines)) <= width and "alpha" in text(name),
                f"{width}x{height} is not filled as it should be", text(name))
    row = _rows(text("silent")).get("asleep", "")
    _expect(re.search(r" - +no exit seen", row) is not None, "a VM without exits is not said to be "
            "so", text("silent"))
    row = _rows(text("woken")).get("asleep", "")
    _expect(re.search(r"cpuid \d", row) is not None, "its exits are not shown", text("woken"))
    _expect("before" in text("stopped"), "stopped, it leaves the screen behind", text("stopped"))
    _expect("before" in text("quit") and "EXITS" not in text("quit"),
            "the terminal is not as it was", text("quit"))
    for name in ("terminated", "interrupted"):
        _expect("before" in text(name) and "EXITS" not in text(name),
                f"{name}, it leaves the screen behind", text(name))
    run = json.loads(result.text("run.json"))
    _expect({"alpha", "beta"} <= {vm["name"] for vm in run["vms"]}, "the run file lacks VMs",
            str([vm["name"] for vm in run["vms"]]))


def check_terminals(result: Result) -> None:
    """The same screen with 256 colours, 8, and none; beside a recorded run as its baseline."""
    colored = r"\x1b\[[0-9;]*\b(3[0-7]|4[0-7])\b"
    for name, wanted, unwanted in (
            ("colors256", r"\x1b\[[0-9;]*38;5;110m", None),
            ("colors8", r"\x1b\[[0-9;]*36m", r"38;5;"),
            ("colors0", r"\x1b\[[0-9;]*7m", colored), ("no_color", r"\x1b\[[0-9;]*7m", colored)):
        screen = result.text(name + ".ansi")
        _expect(re.search(wanted, screen) is not None, f"{name}: no {wanted}", repr(screen))
        _expect(unwanted is None or re.search(unwanted, screen) is None, f"{name}: {unwanted}",
                repr(screen))
        text = re.sub(r"\x1b\[[0-9;]*m|\x1b\(B|[\x0e\x0f]", "", screen)
        _expect("ratio to run" in text and len(re.findall(r"\d\.\d\dx", _rows(text)["alpha"])) >= 4,
                f"{name}: no ratios to the recorded run", text)
        _expect(re.search("^>", text, re.MULTILINE) is not None, f"{name}: no row is marked", text)
        _expect((name != "no_color") or text.isascii(), "--ascii is not ASCII", text)


def check(result: Result) -> None:
    print(result.text("vms.txt"))
    check_screens(result)
    check_terminals(result)
    check_sums(result)


def main() -> int:
    options = harness.options()
    job = Job(kernel=options.kernel, vendor=options.vendor, script=_SCRIPT, timeout_s=300,
              files=live_terminal.files(),
              programs={"/bin/exittop": options.exittop, **live_terminal.programs(),
                        **workloads.guest_programs(options.guests, "micro_vm")})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
