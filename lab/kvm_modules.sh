# SPDX-License-Identifier: GPL-2.0-only
# Shell functions for jobs: insert and remove kvm and the vendor's module. Read by init.sh.

# Inserts a module of /modules and its dependencies, except those already loaded:
#   load_module NAME [PARAMETER=VALUE ...]
# The parameters of kvm itself are in $KVM_PARAMETERS.
load_module() {
    wanted=$1
    shift
    while read -r module; do
        [ -d "/sys/module/$module/holders" ] && continue
        [ "$module" = kvm ] && core_parameters=$KVM_PARAMETERS || core_parameters=
        if [ "$module" = "$wanted" ]; then
            insmod "/modules/$module.ko" "$@" || return 1
        else
            # shellcheck disable=SC2086 # several parameters, or none
            insmod "/modules/$module.ko" $core_parameters || return 1
        fi
    done <"/modules/$wanted.order"
}

# The dependencies of the vendor's module, without that module.
load_kvm_core() {
    while read -r module; do
        [ "$module" = "$LAB_VENDOR_MODULE" ] && continue
        [ -d "/sys/module/$module/holders" ] || insmod "/modules/$module.ko" || return 1
    done <"/modules/$LAB_VENDOR_MODULE.order"
}

# KVM with nested paging on (1) or off (0): load_kvm 1|0 [PARAMETER=VALUE ...]
load_kvm() {
    paging=$1
    shift
    load_module "$LAB_VENDOR_MODULE" "$LAB_PAGING_PARAMETER=$paging" "$@"
}

# Only the vendor's module: kvm itself stays, as when an operator changes a parameter.
unload_vendor() {
    rmmod "$LAB_VENDOR_MODULE"
}

unload_kvm() {
    unload_vendor && rmmod kvm
}

# The vendor's module again with nested paging on or off: reload_kvm 1|0 [PARAMETER=VALUE ...]
reload_kvm() {
    unload_vendor && load_kvm "$@"
}
