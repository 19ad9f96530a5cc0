#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# build.sh PRESET TESTS [TARGET...]: configures if needed and builds, and prints little if there is
# nothing to do. TESTS is ON or OFF; OFF does not remove tests that are already configured. Root
# builds as the owner of the checkout, who could not use a build folder that root owns.
set -euo pipefail
top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
source "$top/cmake/packages.sh"
preset=$1 tests=$2 targets=("${@:3}")
folder=$top/build/$preset

owner=$(stat -c %U "$top")
if ((EUID == 0)) && [[ $owner != root ]] && runuser -u "$owner" -- test -w "$top" 2>/dev/null; then
    if [[ -d $top/build ]]; then find "$top/build" -user root -exec chown -h "$owner:" {} +; fi
    home=$(getent passwd "$owner" | cut -d: -f6)
    exec runuser -u "$owner" -- env HOME="$home" bash "${BASH_SOURCE[0]}" "$@"
fi

is_configured() {
    [[ -f $folder/build.ninja ]] || return 1
    [[ $tests == OFF ]] || grep -q '^BUILD_TESTING:BOOL=ON$' "$folder/CMakeCache.txt"
}

configure() {
    local log=$top/build/$preset-configure.log
    # The build folder of a copied or moved checkout still names the old one.
    if [[ -f $folder/CMakeCache.txt ]] &&
        ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$top" "$folder/CMakeCache.txt"; then
        rm -rf "$folder"
    fi
    is_configured && return
    say "configuring $folder"
    cmake --preset "$preset" -DBUILD_TESTING="$tests" -DBPFTOOL="$(working_bpftool)" \
        >"$log" 2>&1 || { cat "$log" >&2; fail 1 "CMake could not configure; see above"; }
}

build() {
    local arguments=(--preset "$preset") said
    local sources=("$top"/{CMakeLists.txt,bpf,cmake,guest,kernel,lab,userspace,vmlinux})
    ((${#targets[@]})) && arguments+=(--target "${targets[@]}")
    # If no source is newer than the last build, there is little to do and nothing to show.
    if [[ -f $folder/built &&
        -z $(find "${sources[@]}" -newer "$folder/built" -print -quit) ]]; then
        said=$(cmake --build "${arguments[@]}" 2>&1) || fail 1 "the build failed: $said"
    else
        cmake --build "${arguments[@]}" >&2 || fail 1 "the build failed; see above"
    fi
    touch "$folder/built"
}

cd "$top"
if ! mkdir -p build 2>/dev/null || ! exec 9>build/.lock; then
    fail 1 "cannot write to $top/build"
fi
flock 9     # two builds at once would disturb each other
configure
build
