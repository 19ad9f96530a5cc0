# SPDX-License-Identifier: GPL-2.0-only
# Debian packages by purpose, and how to install them. Sourced by bash. An entry is PACKAGE, or
# PACKAGE=COMMAND, which counts as installed if the command exists, wherever it came from.

build_packages=(g++=g++ clang=clang llvm=llvm-strip cmake=cmake ninja-build=ninja
    pkg-config=pkg-config bpftool=bpftool
    libbpf-dev libsystemd-dev libncurses-dev libcli11-dev libfmt-dev libutf8proc-dev nlohmann-json3-dev)
lab_packages=(python3=python3 busybox-static zstd=zstd lz4=lz4)
amd_lab_packages=(qemu-system-x86=qemu-system-x86_64)
intel_lab_packages=(bochs=bochs-bin bochsbios vgabios)
test_packages=(tmux=tmux libgtest-dev libgmock-dev librapidcheck-dev python3=python3
    groff-base=groff zsh=zsh fish=fish debootstrap=debootstrap lintian=lintian man-db=man
    systemd=systemd-analyze python3-jsonschema=jsonschema)

# To build KVM's modules with the patches of kernel/: lab/patched_kvm.py.
kvm_patch_packages=(gcc=gcc make=make patch=patch perl=perl xz-utils=xz dwarves=pahole)
browser_packages=(chromium=chromium)
lint_packages=(clang-format-19=clang-format-19 clang-tidy-19=clang-tidy-19 clang-19=clang++-19
    shellcheck=shellcheck flake8=flake8)
# For the preset dev, and the compilers of Debian 12 that the BPF program is tested with.
dev_packages=(clang-19=clang++-19 libclang-rt-19-dev)
bpf_clang_packages=(clang-14=clang-14 clang-19=clang-19)
# What the benchmark tests/bench/overhead compares exittop with.
rival_packages=(linux-perf=perf bpftrace=bpftrace)

say() { printf 'exittop: %s\n' "$*" >&2; }
fail() { local status=$1; shift; say "$*"; exit "$status"; }

# A bpftool that runs: Ubuntu's is a wrapper that requires the tools of exactly the running kernel.
working_bpftool() {
    local tool
    for tool in "$(type -P bpftool)" /usr/lib/linux-tools/*/bpftool; do
        [[ -x $tool ]] && "$tool" version >/dev/null 2>&1 && printf '%s\n' "$tool" && return 0
    done
    return 1
}

# Prints the given entries that are missing, as package names.
missing_packages() {
    local entry package command installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${@%%=*}" 2>/dev/null) || true
    for entry in "$@"; do
        package=${entry%%=*} command=${entry#*=}
        if [[ $entry == bpftool=* ]]; then
            working_bpftool >/dev/null || echo "$package"
        elif [[ $entry == *=* ]] && type -P "$command" >/dev/null; then
            continue
        elif [[ $'\n'$installed$'\n' != *$'\n'"installed $package"$'\n'* ]]; then
            echo "$package"
        fi
    done
}

# Prints the names that this machine's apt has for the given packages.
names_for_apt() {
    local package
    for package in "$@"; do
        if [[ $(apt-cache policy "$package" 2>/dev/null) == *'Candidate: '[^\(]* ]]; then
            echo "$package"
        elif [[ $package == bpftool ]]; then
            printf '%s\n' linux-tools-common linux-tools-generic   # where Ubuntu 24.04 has it
        else
            say "apt knows no package $package here; going on without it"
        fi
    done
}

# ensure_packages INSTALL(yes|no) ENTRY...: installs what is missing, or ends with status 77.
ensure_packages() {
    local install=$1 missing names
    shift
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ! type -P apt-get >/dev/null; then
        fail 77 "missing, by their Debian names: ${missing[*]}; install them by hand (no apt here)"
    elif [[ $install != yes ]] || ((EUID)); then
        fail 77 "missing packages, which root can install: apt-get install ${missing[*]}"
    fi
    say "installing with apt-get: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update </dev/null >&2 || say "apt-get update failed; trying with the old lists"
    mapfile -t names < <(names_for_apt "${missing[@]}")
    ((${#names[@]})) || return 0
    apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "${names[@]}" \
        </dev/null >&2 || fail 77 "apt-get could not install: ${names[*]}"
}
