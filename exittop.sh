#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Builds exittop where needed and runs it with the arguments given:
#     exittop.sh [--no-install] [COMMAND] [OPTIONS]
# Missing packages are installed with apt (as root); with --no-install they are only named.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin      # for bpftool, which is not in users' PATH
top=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
source "$top/cmake/packages.sh"
binary=$top/build/release/exittop

install=yes
if [[ ${1-} == --no-install ]]; then
    install=no
    shift
fi

wanted=("${build_packages[@]}")
if [[ ${1-} == lab && " $* " != *" --help "* && " $* " != *" -h "* ]]; then
    wanted+=("${lab_packages[@]}")
    [[ ${2-} == intel ]] || wanted+=("${amd_lab_packages[@]}")
    [[ ${2-} == amd ]] || wanted+=("${intel_lab_packages[@]}")
fi
ensure_packages "$install" "${wanted[@]}"

was_built=$([[ -x $binary ]] && echo yes || echo no)
# A user who may not write here runs the existing program.
if [[ $was_built == no || -w $top/build/release ]]; then
    bash "$top/cmake/build.sh" release OFF
fi
if [[ $was_built == no ]] && ((EUID)); then
    say "built; to count exits (dump, check) needs root: sudo $0 ..."
fi
exec "$binary" "$@"
