// SPDX-License-Identifier: GPL-2.0-only
// Tells a vCPU that halted for good from one that waits: with interrupts off nothing but an NMI
// wakes it. Where KVM has the interrupt controller, KVM_RUN does not come back from such a HLT, so
// a signal has to interrupt it before one can ask.
#pragma once
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

// `*rip` gets the address behind the HLT.
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
