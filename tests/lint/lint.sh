#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lint.sh format|shell|python|tidy: holds all files of a kind to their style; says where they differ.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

# files NAME...: those of this checkout whose name matches, without what was built or vendored.
files() {
    local name conditions=()
    for name in "$@"; do conditions+=(-o -name "$name"); done
    find . \( -path ./build -o -path ./.git -o -name vendor \) -prune -o \
        -type f \( "${conditions[@]:1}" \) -print
}

case $1 in
format)
    mapfile -t sources < <(files '*.cpp' '*.h' | grep -E '^\./(userspace|tests)/')
    clang-format-19 --dry-run --Werror "${sources[@]}"
    ;;
shell)
    mapfile -t scripts < <(files '*' | xargs -d '\n' awk 'FNR > 1 { nextfile }
        /^#!\/bin\/(ba)?sh$/ { print FILENAME }')
    shellcheck -x "${scripts[@]}"
    # Read by busybox's shell, in emulated hosts.
    shellcheck -s dash -e SC1091 lab/*.sh
    ;;
tidy)
    bash cmake/build.sh tidy OFF exittop_skeleton_files kvm_symbol_skeleton_files
    # A layer is one file there, so that headers are checked once; some files are left out of these.
    run-clang-tidy-19 -quiet -j 2 -p build/tidy -warnings-as-errors='*' \
        "userspace/CMakeFiles/.*/Unity/|$PWD/userspace/" 2>/dev/null
    ;;
python)
    mapfile -t sources < <(files '*.py')
    flake8 "${sources[@]}"
    ;;
esac
