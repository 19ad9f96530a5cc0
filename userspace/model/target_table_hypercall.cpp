// SPDX-License-Identifier: GPL-2.0-only
// What guests ask of their hypervisor: hypercalls, and exits of encrypted guests.
#include <array>

#include "model/target_tables.h"

namespace exittop {
namespace {

// The kernel's include/uapi/linux/kvm_para.h; the numbers between are of other architectures.
constexpr auto kvm_table = std::to_array<NameRow>({
    {1, "VAPIC_POLL_IRQ"},
    {2, "MMU_OP"},
    {3, "FEATURES"},
    {5, "KICK_CPU"},
    {9, "CLOCK_PAIRING"},
    {10, "SEND_IPI"},
    {11, "SCHED_YIELD"},
    {12, "MAP_GPA_RANGE"},
});
static_assert(is_in_order(kvm_table));

// Microsoft's TLFS, "Hypercall Reference"; what only a root partition calls, which a nested Hyper-V
// has: the kernel's include/hyperv/hvgdk_mini.h, spelled as the TLFS does.
constexpr auto hyperv_table = std::to_array<NameRow>({
    {0x1, "HvCallSwitchVirtualAddressSpace"},
    {0x2, "HvCallFlushVirtualAddressSpace"},
    {0x3, "HvCallFlushVirtualAddressList"},
    {0x8, "HvCallNotifyLongSpinWait"},
    {0xb, "HvCallSendSyntheticClusterIpi"},
    {0xc, "HvCallModifyVtlProtectionMask"},
    {0xd, "HvCallEnablePartitionVtl"},
    {0xf, "HvCallEnableVpVtl"},
    {0x11, "HvCallVtlCall"},
    {0x12, "HvCallVtlReturn"},
    {0x13, "HvCallFlushVirtualAddressSpaceEx"},
    {0x14, "HvCallFlushVirtualAddressListEx"},
    {0x15, "HvCallSendSyntheticClusterIpiEx"},
    {0x40, "HvCallCreatePartition"},
    {0x41, "HvCallInitializePartition"},
    {0x42, "HvCallFinalizePartition"},
    {0x43, "HvCallDeletePartition"},
    {0x44, "HvCallGetPartitionProperty"},
    {0x45, "HvCallSetPartitionProperty"},
    {0x46, "HvCallGetPartitionId"},
    {0x48, "HvCallDepositMemory"},
    {0x49, "HvCallWithdrawMemory"},
    {0x4b, "HvCallMapGpaPages"},
    {0x4c, "HvCallUnmapGpaPages"},
    {0x4d, "HvCallInstallIntercept"},
    {0x4e, "HvCallCreateVp"},
    {0x4f, "HvCallDeleteVp"},
    {0x50, "HvCallGetVpRegisters"},
    {0x51, "HvCallSetVpRegisters"},
    {0x52, "HvCallTranslateVirtualAddress"},
    {0x56, "HvCallClearVirtualInterrupt"},
    {0x58, "HvCallDeletePort"},
    {0x5b, "HvCallDisconnectPort"},
    {0x5c, "HvCallPostMessage"},
    {0x5d, "HvCallSignalEvent"},
    {0x69, "HvCallPostDebugData"},
    {0x6a, "HvCallRetrieveDebugData"},
    {0x6b, "HvCallResetDebugSession"},
    {0x76, "HvCallAddLogicalProcessor"},
    {0x7b, "HvCallGetSystemProperty"},
    {0x7c, "HvCallMapDeviceInterrupt"},
    {0x7d, "HvCallUnmapDeviceInterrupt"},
    {0x7e, "HvCallRetargetDeviceInterrupt"},
    {0x8b, "HvCallNotifyPortRingEmpty"},
    {0x94, "HvCallAssertVirtualInterrupt"},
    {0x95, "HvCallCreatePort"},
    {0x96, "HvCallConnectPort"},
    {0x99, "HvCallStartVirtualProcessor"},
    {0x9a, "HvCallGetVpIndexFromApicId"},
    {0xaf, "HvCallFlushGuestPhysicalAddressSpace"},
    {0xb0, "HvCallFlushGuestPhysicalAddressList"},
    {0xdb, "HvCallModifySparseGpaPageHostVisibility"},
    {0x106, "HvCallMmioRead"},
    {0x107, "HvCallMmioWrite"},
    {0x8001, "HvExtCallQueryCapabilities"},
    {0x8002, "HvExtCallGetBootZeroedMemory"},
    {0x8003, "HvExtCallMemoryHeatHint"},
});
static_assert(is_in_order(hyperv_table));

// Xen's xen/include/public/xen.h.
constexpr auto xen_table = std::to_array<NameRow>({
    {0, "set_trap_table"},
    {1, "mmu_update"},
    {2, "set_gdt"},
    {3, "stack_switch"},
    {4, "set_callbacks"},
    {5, "fpu_taskswitch"},
    {6, "sched_op_compat"},
    {7, "platform_op"},
    {8, "set_debugreg"},
    {9, "get_debugreg"},
    {10, "update_descriptor"},
    {12, "memory_op"},
    {13, "multicall"},
    {14, "update_va_mapping"},
    {15, "set_timer_op"},
    {16, "event_channel_op_compat"},
    {17, "xen_version"},
    {18, "console_io"},
    {19, "physdev_op_compat"},
    {20, "grant_table_op"},
    {21, "vm_assist"},
    {22, "update_va_mapping_otherdomain"},
    {23, "iret"},
    {24, "vcpu_op"},
    {25, "set_segment_base"},
    {26, "mmuext_op"},
    {27, "xsm_op"},
    {28, "nmi_op"},
    {29, "sched_op"},
    {30, "callback_op"},
    {31, "xenoprof_op"},
    {32, "event_channel_op"},
    {33, "physdev_op"},
    {34, "hvm_op"},
    {35, "sysctl"},
    {36, "domctl"},
    {37, "kexec_op"},
    {38, "tmem_op"},
    {39, "argo_op"},
    {40, "xenpmu_op"},
    {41, "dm_op"},
    {42, "hypfs_op"},
});
static_assert(is_in_order(xen_table));

// AMD 56421, "SEV-ES Guest-Hypervisor Communication Block Standardization"; the kernel's
// arch/x86/include/uapi/asm/svm.h. Lower numbers are SVM's exit codes.
constexpr auto ghcb_table = std::to_array<NameRow>({
    {0x80000001, "MMIO read"},
    {0x80000002, "MMIO write"},
    {0x80000003, "NMI complete"},
    {0x80000004, "AP reset hold"},
    {0x80000005, "AP jump table"},
    {0x80000010, "page state change"},
    {0x80000011, "guest request"},
    {0x80000012, "extended guest request"},
    {0x80000013, "AP creation"},
    {0x80000014, "hypervisor doorbell page"},
    {0x80000015, "hypervisor IPI"},
    {0x80000016, "hypervisor timer"},
    {0x80000017, "APIC ID list"},
    {0x80000018, "run VMPL"},
    {0x8000001a, "Secure AVIC"},
    {0x8000fffd, "hypervisor features"},
    {0x8000fffe, "termination request"},
    {0x8000ffff, "unsupported event"},
});
static_assert(is_in_order(ghcb_table));

}  // namespace

std::span<const NameRow> kvm_hypercalls() { return kvm_table; }
std::span<const NameRow> hyperv_hypercalls() { return hyperv_table; }
std::span<const NameRow> xen_hypercalls() { return xen_table; }
std::span<const NameRow> ghcb_codes() { return ghcb_table; }

}  // namespace exittop
