# SPDX-License-Identifier: GPL-2.0-only
"""exittop's counts by target add up, and are the kernel's."""

from collections import Counter

from counts import Mismatch


def known(stats: dict) -> Counter:
    """Counts by target."""
    targets = Counter({one["target"]: one["count"] for one in stats["targets"]})
    if len(targets) != len(stats["targets"]):
        raise Mismatch(f"{stats['reason']}: a target occurs twice")
    return targets


def completed(stats: dict) -> int:
    """Exits that an entry followed: only those have a time and a target."""
    return sum(count for _, count in stats["histogram"])


def check_sums(what: str, stats: dict) -> None:
    """Each completed exit is counted once: with a target, with the others, or as unknown."""
    parts = [*stats["targets"], stats["targets_other"], stats["targets_unknown"]]
    if sum(part["count"] for part in parts) != completed(stats):
        raise Mismatch(f"{what}: {completed(stats)} exits completed, by target {stats['targets']}, "
                       f"other {stats['targets_other']}, unknown {stats['targets_unknown']}")
    if sum(part["time_ns"] for part in parts) != stats["time_ns"]:
        raise Mismatch(f"{what}: the times by target do not add up to {stats['time_ns']}")


def check_vcpu(what: str, vcpu: dict) -> tuple[int, int]:
    """The sums of all reasons that have targets; and of a vCPU's exits all but the last are
    completed. Returns how many exits have a target of their own, and how many might."""
    named = might = 0
    for stats in vcpu["exits"]:
        if "targets" in stats:
            check_sums(f"{what}: {stats['reason']}", stats)
            named += known(stats).total()
            might += completed(stats)
    ended = sum(stats["count"] - completed(stats) for stats in vcpu["exits"])
    if ended != 1:
        raise Mismatch(f"{what}: {ended} exits were not completed, not only the last one")
    if not might:
        raise Mismatch(f"{what}: no exit has a target")
    return named, might


def check_kernel(what: str, stats: dict, expected: Counter) -> int:
    """Equal to the kernel's own counts, except of what had no room. The number of equal ones."""
    theirs, ours = Counter(expected), known(stats)
    if stats["targets_other"]["count"]:
        theirs = Counter({target: min(theirs[target], count) for target, count in ours.items()})
    wrong = {target: (ours[target], theirs[target]) for target in ours | theirs
             if ours[target] != theirs[target]}
    if wrong:
        raise Mismatch(f"{what}: exittop, kernel: {wrong}")
    return len(ours)
