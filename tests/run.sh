#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs the tests, all or a part, with ctest underneath:
#     tests/run.sh [all|lint|unit|cli|bpf|bench|lab|distro|sid|leaves|matrix]...
# In brackets: the most minutes that a part may take on two cores, with downloads; building for it
# included. ctest's summary at the end shows what it took.
# all (38)
# lint (1):    clang-format, clang-tidy, shellcheck, flake8
# unit (4):    builds everything with clang++-19; tests that need neither root nor KVM, under ASan
#              and UBSan (distro runs them as released)
# cli (4):     the command line, its documented examples, starting and installing
# bpf (1):     the BPF program with made-up events (root)
# bench (1):   prints what exittop itself costs on made-up input
# lab (16):    real KVM in emulated hosts, one kernel after the other
# distro (11): README's first command, the units and the package in a bare Debian 12 and 13; the
#              package of 12 on 13 (root)
# Not in all:
# sid:    as distro, in Debian's sid; failures are only reported (root)
# leaves: modules with the patches of kernel/, on the hosts that lab leaves out
# matrix: several CPUs, thousands of VMs, attaching to VMs, L2, on the kernels that lab leaves out
# Missing packages are installed first (root). Status 77: a part could not run here.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
source "$top/cmake/packages.sh"

if [[ ${1-} == --help || ${1-} == -h ]]; then
    sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi

all_parts=(lint unit cli bpf bench lab distro)
other_parts=(sid leaves matrix)
needing_root=(bpf distro sid)
other_targets=(exittop guest/all lab/all tests/{bench,bpf,lab}/all)
(($#)) || set -- all
parts=()
for part in "$@"; do
    if [[ $part == all ]]; then
        parts+=("${all_parts[@]}")
    elif [[ " ${all_parts[*]} ${other_parts[*]} " == *" $part "* ]]; then
        parts+=("$part")
    else
        fail 2 "no part of the tests is '$part': choose of all ${all_parts[*]} ${other_parts[*]}"
    fi
done
has_part() { [[ " ${parts[*]} " == *" $1 "* ]]; }

wanted=("${build_packages[@]}" "${test_packages[@]}")
if has_part cli || has_part lab || has_part leaves || has_part matrix; then
    wanted+=("${lab_packages[@]}" "${amd_lab_packages[@]}" "${intel_lab_packages[@]}"
        "${kvm_patch_packages[@]}")
fi
has_part lint && wanted+=("${lint_packages[@]}")
has_part cli && wanted+=("${browser_packages[@]}")
has_part unit && wanted+=("${dev_packages[@]}")
ensure_packages yes "${wanted[@]}"
# If such a clang is not available, the tests say so themselves.
has_part lab && ((EUID == 0)) && ensure_packages yes "${bpf_clang_packages[@]}"

result=0
if ((EUID)); then
    possible=()
    for part in "${parts[@]}"; do
        if [[ " ${needing_root[*]} " == *" $part "* ]]; then
            say "the $part tests need root: not run"
            result=77
        else
            possible+=("$part")
        fi
    done
    parts=("${possible[@]}")
fi

# run_parts PRESET LABEL...: two at a time, since an emulated host keeps a core busy.
run_parts() {
    local preset=$1 labels
    shift
    labels=$(IFS='|'; echo "$*")
    say "running with the preset $preset: $*"
    ctest --test-dir "$top/build/$preset" --label-regex "^($labels)$" --parallel 2 \
        --no-tests=error --output-on-failure --timeout 1200 || result=1
}

if has_part unit; then
    bash "$top/cmake/build.sh" dev ON exittop exittop_unit "${other_targets[@]:1}"
    run_parts dev unit
fi
others=()
for part in "${parts[@]}"; do
    [[ $part == unit ]] || others+=("$part")
done
if ((${#others[@]})); then
    bash "$top/cmake/build.sh" ci ON "${other_targets[@]}"
    rm -f "$top"/build/ci/distro/*.txt
    run_parts ci "${others[@]}"
    # What was found in each Debian, also if nothing failed.
    cat "$top"/build/ci/distro/*.txt 2>/dev/null || true
fi
exit "$result"
