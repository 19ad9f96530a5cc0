# SPDX-License-Identifier: GPL-2.0-only
"""Guests read their own counts through CPUID, on KVM's modules with the patches of kernel/.

Tiny VMs ask leaves on demand, register by register (lab/guests/leaf_vm.c):
  - the parameter off, then on without a program: what the guest sees is what it sees unpatched;
  - each VM reads its own counts, equal to exittop's and to what the guest is known to have done, and
    exittop's to the kernel's own; a VM that is not allowed to sees what it would see without exittop;
  - each layout; undefined reasons; indices out of range; leaves around the four; no register holds
    what nobody put there;
  - exittop ends, or is killed, while a guest polls;
  - a Linux guest runs exitleaf;
  - without the patch, and with the parameter off, `exittop leaves` says so and ends with status 77.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator

import harness
from counts import INTERRUPTS, Mismatch, lost

import inner_guest
import kernel_counts
import kernel_image
import kernels
import workloads
from emulated_host import Job, Result
from initramfs import Initramfs

_ALL_ONES = (1 << 32) - 1
_UNDEFINED = 0x3ff
_ISA = {"intel": 1, "amd": 2}
_CPUID = {"amd": 0x72, "intel": 10}
_IO = {"amd": 0x7b, "intel": 30}
# By layout and leaf: what it tells, and whether of the reason in ECX.
_LAYOUTS = {
    "2020": {0x4ffffffe: ("count", True), 0x4fffffff: ("both", False)},
    "2021": {0x4ffffffc: ("cycles", True), 0x4ffffffd: ("count", True),
             0x4ffffffe: ("cycles", False), 0x4fffffff: ("count", False)},
    "2022": {0x4ffffffc: ("count", False), 0x4ffffffd: ("cycles", False),
             0x4ffffffe: ("count", True), 0x4fffffff: ("cycles", True)},
}
_LEAVES = range(0x4ffffffc, 0x50000000)
# Nobody's: before and behind the four, the same with bits above the 32 that count, other ranges.
_AROUND = [0x4ffffff8, 0x4ffffffb, 0x50000000, 0x50000003, 0xcffffffd, 0x0ffffffd, 0x40000010]
_INDICES = [_UNDEFINED, 0x80000000, 0xffffffff, 0x8000000a, 0x10000, 0xbeefcafe0000,
            0xfeedbeefcafe03ff]

_SCRIPT = r"""
said() { while ! grep -q "$1" "$2"; do sleep 0.05; done; }
# exittop takes a VM's name from the command line of a VMM that it knows.
mkdir /tmp/tiny /tmp/linux
ln -s /guests/leaf_vm /tmp/tiny/qemu-system-x86_64
ln -s /guests/linux_vm /tmp/linux/qemu-system-x86_64
VM=/tmp/tiny/qemu-system-x86_64

step "without the patch"
KVM_PARAMETERS=
mv /modules/kvm.ko /modules/kvm.patched; mv /modules/$LAB_VENDOR_MODULE.ko /modules/vendor.patched
cp /stock/kvm.ko /modules/kvm.ko; cp /stock/vendor.ko /modules/$LAB_VENDOR_MODULE.ko
load_kvm 1 || exit 1
leaf_vm </lab/queries >/out/unpatched.txt 2>&1
exittop leaves --vm '*' -- true >/out/unpatched.out 2>/out/unpatched.err; echo $? >/out/unpatched.status
unload_kvm || exit 1
mv /modules/kvm.patched /modules/kvm.ko; mv /modules/vendor.patched /modules/$LAB_VENDOR_MODULE.ko

step "with the patch, off"
load_kvm 1 || exit 1
leaf_vm </lab/queries >/out/off.txt 2>&1
exittop leaves --vm '*' -- true >/out/off.out 2>/out/off.err; echo $? >/out/off.status
unload_kvm || exit 1

step "on, without a program"
KVM_PARAMETERS=cpuid_answer=1
load_kvm 1 || exit 1
leaf_vm </lab/queries >/out/idle.txt 2>&1

for layout in 2020 2021 2022; do
    step "layout $layout: two VMs in a process, two vCPUs each, and one that may not"
    cat >/tmp/session.sh <<END
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
mkfifo /tmp/yes.$layout
$VM --vms 2 --vcpus 2 -name guest=yes </tmp/yes.$layout >/out/yes.$layout & vm=\$!
exec 5>/tmp/yes.$layout
# All vCPUs exit, and exittop has seen them, before anything is asked.
printf 'work 0 40\nwork 1 6\n' >&5
sleep 1
cat /lab/queries >&5
sed 's/^0/1/' /lab/queries >&5
exec 5>&-
wait \$vm
(echo work 0 5; sleep 1; cat /lab/queries) | $VM -name guest=no >/out/no.$layout
kernel_counts_stop /out/$layout.counts
END
    exittop leaves --vm 'y*' --layout $layout --format json -- /bin/busybox sh /tmp/session.sh \
        >/out/$layout.json 2>/out/$layout.err || exit 1
done

step "exittop ends, or is killed, while a guest polls"
for signal in TERM KILL; do
    mkfifo /tmp/poll.$signal
    $VM -name guest=poll </tmp/poll.$signal >/out/poll.$signal & vm=$!
    exec 6>/tmp/poll.$signal
    (while echo "0 4ffffffd 3ff" && sleep 0.01; do :; done) >&6 & poll=$!
    exittop leaves --vm poll >/dev/null 2>/out/poll.err & service=$!
    said counting /out/poll.err
    sleep 1.5
    kill -$signal $service; wait $service
    sleep 1
    kill $poll; wait $poll
    exec 6>&-
    wait $vm || exit 1
done

step "counts around 32 bits"
mkfifo /tmp/wide
$VM -name guest=wide </tmp/wide >/out/wide & vm=$!
exec 6>/tmp/wide
exittop leaves --vm wide >/out/wide.table 2>/out/wide.err 6>&- & service=$!
said counting /out/wide.err
echo "work 0 10" >&6
sleep 1
preset_count $service $vm $LAB_CPUID 0xfffffffd 2>>/out/wide.err || exit 1
for i in 1 2 3 4; do printf "0 4ffffffd $LAB_CPUID\n0 4fffffff 0\n" >&6; done
exec 6>&-
wait $vm || exit 1
kill -TERM $service; wait $service || exit 1

step "a Linux guest runs exitleaf"
exittop leaves --vm linux --format json -- /bin/guest >/out/linux.json 2>/out/linux.err || exit 1
exittop leaves --vm other --format json -- /bin/guest-refused >/out/refused.json 2>/out/refused.err \
    || exit 1
"""

_GUEST_INIT = b"""#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox mount -t proc proc /proc
# linux_vm's serial port is one for the kernel's console alone, so through that, in pieces.
echo on >/proc/sys/kernel/printk_devkmsg
/bin/busybox sleep 1
{
    echo "BEGIN table"; /exitleaf; echo "END $?"
    echo "BEGIN json"; /exitleaf --json; echo "END $?"
    echo "BEGIN raw"; /exitleaf --raw 0x3ff; echo "END $?"
} 2>&1 | /bin/busybox fold -w 500 | while IFS= read -r line; do echo "<0>$line" >/dev/kmsg; done
/pass forks=0 pings=0 touches=0
"""


def queries() -> list[tuple[int, int]]:
    """What every VM is asked."""
    found = [(leaf, 0) for leaf in _LEAVES] + [(leaf, 0) for leaf in _AROUND]
    found += [(leaf, index) for leaf in _LEAVES for index in _INDICES]
    # High halves of RAX do not count, nor do those of RCX.
    found += [(0xdeadbeef00000000 | leaf, 0x1234567800000000 | _UNDEFINED) for leaf in _LEAVES]
    found += [(leaf, code) for leaf in _LEAVES for code in (*_CPUID.values(), *_IO.values())]
    return found


def answers(text: str, vm: int = 0) -> Iterator[tuple[int, int, list[int]]]:
    """Leaf, index and the four registers of each query of a VM, all 64 bits of each."""
    for line in text.splitlines():
        found = re.fullmatch(r"(\d) (\w+) (\w+): (\w+) (\w+) (\w+) (\w+)", line)
        if not found:
            raise Mismatch(f"leaf_vm said: {line}")
        number, leaf, index, *registers = (int(word, 16) for word in found.groups())
        if number == vm and leaf:
            yield leaf, index, registers


def check_untouched(result: Result, name: str, vm: int = 0) -> None:
    """The same answers as without the patch."""
    before = list(answers(result.text("unpatched.txt")))
    after = list(answers(result.text(name), vm))
    if len(before) != len(queries()):
        raise Mismatch(f"{len(before)} answers to {len(queries())} queries")
    for want, got in zip(before, after, strict=True):
        if want != got:
            raise Mismatch(f"{name}: {got}, without the patch {want}")


def undefined(vendor: str) -> set[int]:
    """Of what is asked, the reasons that the vendor's manual does not define."""
    found = {index & _ALL_ONES for index in _INDICES}
    for name in set(_CPUID) - {vendor}:
        found |= {_CPUID[name], _IO[name]}
    # SVM's -1 is a failed VMRUN.
    return found - {_ALL_ONES} if vendor == "amd" else found


class Expectation:
    """What a VM's counts are when it asks: each query is an exit of CPUID and one of IO."""

    def __init__(self, vendor: str, worked: int):
        self.counts = {_CPUID[vendor]: worked, _IO[vendor]: worked}
        self._vendor = vendor

    def ask(self) -> None:
        self.counts[_CPUID[self._vendor]] += 1

    def answered(self) -> None:
        self.counts[_IO[self._vendor]] += 1


def check_vm(result: Result, layout: str, vendor: str, vm: int, exits: dict[int, int]) -> int:
    """Every answer that one VM got; the last count of all exits that it read."""
    meanings, last = _LAYOUTS[layout], 0
    unpatched = list(answers(result.text("unpatched.txt")))
    state = Expectation(vendor, (40, 6)[vm])
    got = list(answers(result.text(f"yes.{layout}"), vm))
    for (leaf, index, registers), (_, _, plain) in zip(got, unpatched, strict=True):
        state.ask()
        leaf, index = leaf & _ALL_ONES, index & _ALL_ONES
        what = f"layout {layout}, VM {vm}, leaf {leaf:#x}, index {index:#x}: {registers}"
        if any(register > _ALL_ONES for register in registers):
            raise Mismatch(f"{what}: bits above 32")
        eax, ebx, ecx, edx = registers
        kind, of_reason = meanings.get(leaf, ("", False))
        if not kind:
            if registers != plain:
                raise Mismatch(f"{what}: not KVM's own answer {plain}")
        elif of_reason and index in undefined(vendor):
            if registers != [0, 0, 0, _ALL_ONES]:
                raise Mismatch(f"{what}: not refused")
        elif edx:
            raise Mismatch(f"{what}: EDX")
        elif kind == "count":
            known = state.counts.get(index) if of_reason else None
            if ecx != eax or ebx:
                raise Mismatch(f"{what}: EAX is not the low half of EBX:ECX")
            if of_reason and index in state.counts and eax != known:
                raise Mismatch(f"{what}: not {known}")
            if of_reason and index not in state.counts and eax > exits.get(index, 0):
                raise Mismatch(f"{what}: more than exittop's {exits.get(index, 0)}")
            if not of_reason:
                if eax < max(sum(state.counts.values()), last):
                    raise Mismatch(f"{what}: less than {state.counts} or {last}")
                last = eax
        elif kind == "both" and (not eax or not ecx):
            raise Mismatch(f"{what}: no exits or no cycles")
        elif kind == "cycles" and eax:
            raise Mismatch(f"{what}: EAX is not unused")
        elif kind == "cycles" and (not of_reason or index in state.counts) and not ebx | ecx:
            raise Mismatch(f"{what}: no cycles")
        state.answered()
    for code, count in state.counts.items():
        if exits[code] != count:
            raise Mismatch(f"layout {layout}, VM {vm}: exittop has {exits[code]} exits of "
                           f"{code:#x}, the guest made {count}")
    return last


def exits_of(vm: dict) -> dict[int, int]:
    sums: dict[int, int] = {}
    for vcpu in vm["vcpus"]:
        for stats in vcpu["exits"]:
            sums[stats["code"]] = sums.get(stats["code"], 0) + stats["count"]
    return sums


def check_kernel(run: dict, counts: str, vendor: str) -> None:
    """Both VMs together, which one thread runs, have the kernel's own counts."""
    thread, = {vm["pid"] for vm in run["vms"]}
    ours, theirs = Counter(), Counter()
    for vm in run["vms"]:
        ours.update(exits_of(vm))
    for key, count in kernel_counts.parse(counts).items():
        if key.tid == thread:
            theirs[key.reason] += count
    if not theirs:
        raise Mismatch("the kernel counted nothing")
    for code in (ours.keys() | theirs.keys()) - INTERRUPTS[_ISA[vendor]]:
        if ours[code] != theirs[code]:
            raise Mismatch(f"exits of {code:#x}: exittop {ours[code]}, kernel {theirs[code]}")


def check_layout(result: Result, layout: str, vendor: str) -> None:
    run = json.loads(result.text(f"{layout}.json"))
    if losses := lost(run, {"split_missed"}):
        raise Mismatch(f"layout {layout}: lost {losses}")
    vms = [exits_of(vm) for vm in run["vms"]]
    if len(vms) != 2 or {len(vm["vcpus"]) for vm in run["vms"]} != {2}:
        raise Mismatch(f"layout {layout}: not two VMs of two vCPUs: {run['vms']}")
    # The one that worked more was made first.
    vms.sort(key=lambda exits: -exits[_CPUID[vendor]])
    for number, exits in enumerate(vms):
        check_vm(result, layout, vendor, number, exits)
    check_kernel(run, result.text(f"{layout}.counts"), vendor)
    check_untouched(result, f"no.{layout}")
    print(f"  layout {layout}: two VMs read each its own, a third nothing")


def check_polling(result: Result) -> None:
    """Answered while exittop ran, KVM's own answer before and after, nothing else ever."""
    plain = next(r for leaf, index, r in answers(result.text("unpatched.txt"))
                 if (leaf, index) == (0x4ffffffd, _UNDEFINED))
    for signal in ("TERM", "KILL"):
        seen = [r for _, _, r in answers(result.text(f"poll.{signal}"))]
        shape = re.sub(r"(.)\1+", r"\1", "".join(
            "a" if r == [0, 0, 0, _ALL_ONES] else "p" if r == plain else "?" for r in seen))
        if shape not in ("pap", "ap"):
            raise Mismatch(f"a guest that polled while exittop got {signal} saw {shape}")
        print(f"  {signal}: {len(seen)} polls, {seen.count(plain)} of them KVM's own answer")


def check_wide(result: Result) -> None:
    """A count that crosses 32 bits: EAX goes round, EBX:ECX goes on."""
    got = [(leaf, r) for leaf, index, r in answers(result.text("wide"))]
    counts = [r for leaf, r in got if leaf == 0x4ffffffd]
    want = [0xfffffffd + n for n in (1, 3, 5, 7)]     # each round asks twice
    if [(r[1] << 32) | r[2] for r in counts] != want or \
            [r[0] for r in counts] != [n & _ALL_ONES for n in want]:
        raise Mismatch(f"counts around 32 bits: {counts}, not {want}")
    totals = [(r[1] << 32) | r[2] for leaf, r in got if leaf == 0x4fffffff]
    if any(total <= count for total, count in zip(totals, want, strict=True)):
        raise Mismatch(f"totals {totals} of counts {want}")
    if f"{want[-1] + 1:,}" not in result.text("wide.table"):
        raise Mismatch(f"exittop does not show {want[-1] + 1:,}:\n{result.text('wide.table')}")
    print(f"  counts around 32 bits: {', '.join(map(hex, want))} in EBX:ECX")


def check_messages(result: Result) -> None:
    for name, text in (("unpatched", "cannot answer CPUID leaves"), ("off", "cpuid_answer=1")):
        status, said = result.text(f"{name}.status").strip(), result.text(f"{name}.err")
        if status != "77" or text not in said or said.count("\n") != 1 or result.text(
                f"{name}.out"):
            raise Mismatch(f"{name}: status {status}, said {said!r}")


def sections(log: str) -> dict[str, tuple[str, int]]:
    plain = re.sub(r"(?m)^\[ *[\d.]+\] ?", "", log.replace("\r", ""))
    found = re.findall(r"BEGIN (\w+)\n(.*?)END (\d+)", plain, re.DOTALL)
    return {name: (text, int(status)) for name, text, status in found}


def check_linux(result: Result, vendor: str) -> None:
    """exitleaf in a Linux guest: its numbers are of that VM, at most what exittop had at the end."""
    got = sections(result.text("linux.log"))
    if {name: status for name, (_, status) in got.items()} != {"table": 0, "json": 0, "raw": 0}:
        raise Mismatch(f"exitleaf in a guest: {got or result.text('linux.log')[-500:]}")
    reading = json.loads(got["json"][0].replace("\n", ""))
    vm, = json.loads(result.text("linux.json"))["vms"]
    exits, names = exits_of(vm), {s["code"]: s["reason"] for c in vm["vcpus"] for s in c["exits"]}
    if reading["layout"] != "2021":
        raise Mismatch(f"exitleaf found the layout {reading['layout']}")
    for row in reading["reasons"]:
        if row["exits"] > exits.get(row["code"], 0) or names.get(row["code"]) != row["reason"]:
            raise Mismatch(f"exitleaf read {row}, exittop had {exits.get(row['code'])}")
    codes = {row["code"] for row in reading["reasons"]}
    if not {_CPUID[vendor], _IO[vendor]} <= codes or reading["exits"] > sum(exits.values()):
        raise Mismatch(f"exitleaf read {reading}, exittop had {exits}")
    refused = sections(result.text("refused.log"))
    if [refused[name][1] for name in ("table", "json", "raw")] != [77, 77, 0]:
        raise Mismatch(f"exitleaf in a guest that may not read: {refused}")
    print(f"  exitleaf: {reading['exits']} exits of {len(codes)} reasons\n" + got["table"][0])


def check(result: Result, vendor: str) -> None:
    check_messages(result)
    check_untouched(result, "off.txt")
    check_untouched(result, "idle.txt")
    print(f"  off, and on without a program: {len(queries())} answers as without the patch")
    for layout in _LAYOUTS:
        check_layout(result, layout, vendor)
    check_polling(result)
    check_wide(result)
    check_linux(result, vendor)


def guest_script(name: str, log: str) -> bytes:
    command = inner_guest.command(name).replace("/guests/linux_vm",
                                                "/tmp/linux/qemu-system-x86_64", 1)
    return f"#!/bin/sh\n{command} >/out/{log} 2>&1\nexit 0\n".encode()


def main() -> int:
    options = harness.options()
    stock = kernels.kernel(options.kernel)
    vendor_module = {"amd": "kvm_amd", "intel": "kvm_intel"}[options.vendor]
    initrd = Initramfs()
    initrd.add_busybox()
    initrd.add_file("/init", _GUEST_INIT, executable=True)
    initrd.add_file("/exitleaf", options.exitleaf.read_bytes(), executable=True)
    initrd.add_file("/pass", (options.guests / "guest_init").read_bytes(), executable=True)
    initrd.add_folder("/dev")
    initrd.add_folder("/proc")
    files = {"/lab/queries": "".join(f"0 {leaf:x} {index:x}\n" for leaf, index in queries()),
             "/stock/kvm.ko": kernels.module_bytes(stock, "kvm"),
             "/stock/vendor.ko": kernels.module_bytes(stock, vendor_module),
             "/guests/linux_vm": options.guests / "linux_vm",
             "/guests/vmlinux": kernel_image.vmlinux(stock.vmlinuz),
             "/guests/initrd": initrd.bytes(),
             "/bin/guest": guest_script("linux", "linux.log"),
             "/bin/guest-refused": guest_script("linux", "refused.log")}
    files["/lab/queries"] = files["/lab/queries"].encode()
    script = _SCRIPT.replace("$LAB_CPUID", f"{_CPUID[options.vendor]:#x}")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=script, timeout_s=900,
              patched_kvm=True, files=files,
              on_step=lambda text: print(f"  {text}", flush=True),
              programs={"/bin/exittop": options.exittop,
                        **workloads.guest_programs(options.guests, "leaf_vm", "preset_count")})
    return harness.run(job, lambda result: check(result, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
