#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs the tests, all or a part, with ctest underneath:
#     tests/run.sh [all|unit|cli|bpf|bench|lab|leaves]...
# unit: the lower half, once as released and once under ASan and UBSan; no root needed
# cli:  the command line, its documented examples, starting and installing
# bpf:  the BPF program through test runs (root)
# bench: what exittop itself costs on made-up input, printed
# lab:  real KVM in emulated hosts, one kernel after the other
# leaves: what the lab has no time for on modules with the patches of kernel/; not in all
# Missing packages are installed first (root). 77: a part could not run here.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
source "$top/cmake/packages.sh"

unit_targets=(exittop_unit exittop_live_unit exittop_report_unit)
(($#)) || set -- all
parts=()
for part in "$@"; do
    case $part in
        all) parts+=(unit cli bpf bench lab) ;;
        unit | cli | bpf | bench | lab | leaves) parts+=("$part") ;;
        *) fail 2 "no part of the tests is '$part': all, unit, cli, bpf, bench, lab, leaves" ;;
    esac
done
has_part() { [[ " ${parts[*]} " == *" $1 "* ]]; }

wanted=("${build_packages[@]}" "${test_packages[@]}")
if has_part cli || has_part lab || has_part leaves; then
    wanted+=("${lab_packages[@]}" "${amd_lab_packages[@]}" "${intel_lab_packages[@]}"
        "${kvm_patch_packages[@]}")
fi
has_part cli && wanted+=("${browser_packages[@]}")
ensure_packages yes "${wanted[@]}"

result=0
if has_part bpf && ((EUID)); then
    parts=("${parts[@]/bpf/}")
    say "the bpf tests need root: not run"
    result=77
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
    bash "$top/cmake/build.sh" dev ON "${unit_targets[@]}"
    run_parts dev unit
fi
read -ra parts <<<"${parts[*]}"
if ((${#parts[@]})); then
    [[ ${parts[*]} == unit ]] && targets=("${unit_targets[@]}") || targets=()
    bash "$top/cmake/build.sh" release ON "${targets[@]}"
    run_parts release "${parts[@]}"
fi
exit "$result"
