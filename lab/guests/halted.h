// SPDX-License-Identifier: GPL-2.0-only
// Distinguishes a vCPU that halted for good from one that waits: with interrupts off, only an NMI
// wakes it. If KVM has the interrupt controller, KVM_RUN does not return from such a HLT, so a
// signal has to interrupt it before this check.
#pragma once
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

// `*rip` gets the address after the HLT.
static inline bool halted_with_interrupts_off(int vcpu_fd, uint64_t *rip)
{
    enum { INTERRUPT_FLAG = 1 << 9 };
    struct kvm_mp_state state;
    struct kvm_regs registers;

    if (ioctl(vcpu_fd, KVM_GET_MP_STATE, &state) < 0 ||
        ioctl(vcpu_fd, KVM_GET_REGS, &registers) < 0)
        return false;
    *rip = registers.rip;
    return state.mp_state == KVM_MP_STATE_HALTED && !(registers.rflags & INTERRUPT_FLAG);
}
