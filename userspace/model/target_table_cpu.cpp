// SPDX-License-Identifier: GPL-2.0-only
// Of the CPU itself: control and debug registers, exceptions, CPUID leaves.
#include <array>

#include "model/target_tables.h"

namespace exittop {
namespace {

// SDM vol. 3, "Control Registers".
constexpr auto control_table = std::to_array<NameRow>({
    {0, "operating mode"},
    {2, "page fault address"},
    {3, "page table base"},
    {4, "feature switches"},
    {8, "task priority"},
});
static_assert(is_in_order(control_table));

// SDM vol. 3, "Debug Registers"; 4 and 5 are other names of 6 and 7.
constexpr auto debug_table = std::to_array<NameRow>({
    {0, "breakpoint {} address", 4},
    {4, "debug status"},
    {5, "debug control"},
    {6, "debug status"},
    {7, "debug control"},
});
static_assert(is_in_order(debug_table));

// SDM vol. 3, "Protected-Mode Exceptions and Interrupts"; from 28 on AMD's: APM vol. 2, table 8-1.
constexpr auto exception_table = std::to_array<NameRow>({
    {0, "divide error"},
    {1, "debug"},
    {2, "non-maskable interrupt"},
    {3, "breakpoint"},
    {4, "overflow"},
    {5, "bound range exceeded"},
    {6, "invalid opcode"},
    {7, "device not available"},
    {8, "double fault"},
    {10, "invalid TSS"},
    {11, "segment not present"},
    {12, "stack fault"},
    {13, "general protection"},
    {14, "page fault"},
    {16, "x87 error"},
    {17, "alignment check"},
    {18, "machine check"},
    {19, "SIMD error"},
    {20, "virtualization exception"},
    {21, "control protection"},
    {28, "hypervisor injection"},
    {29, "VMM communication"},
    {30, "security exception"},
});
static_assert(is_in_order(exception_table));

// SDM vol. 2, CPUID; APM vol. 3, appendix E. Those of hypervisors: the TLFS and the kernel's
// Documentation/virt/kvm/x86/cpuid.rst; 0x40000001 to 3 are those of whichever the guest sees.
constexpr auto leaf_table = std::to_array<NameRow>({
    {0x0, "vendor"},
    {0x1, "model and features"},
    {0x2, "cache descriptors"},
    {0x3, "serial number"},
    {0x4, "cache parameters"},
    {0x5, "MONITOR and MWAIT"},
    {0x6, "thermal and power"},
    {0x7, "extended features"},
    {0x9, "direct cache access"},
    {0xa, "performance monitoring"},
    {0xb, "topology"},
    {0xd, "XSAVE state"},
    {0xf, "resource monitoring"},
    {0x10, "resource allocation"},
    {0x12, "SGX"},
    {0x14, "processor trace"},
    {0x15, "TSC frequency"},
    {0x16, "CPU frequency"},
    {0x17, "SoC vendor"},
    {0x18, "TLB parameters"},
    {0x19, "key locker"},
    {0x1a, "hybrid core type"},
    {0x1b, "PCONFIG"},
    {0x1c, "last branch records"},
    {0x1d, "tile parameters"},
    {0x1e, "tile multiplication"},
    {0x1f, "topology, version 2"},
    {0x20, "history reset"},
    {0x21, "TDX"},
    {0x23, "performance monitoring, extended"},
    {0x24, "AVX10"},
    {0x40000000, "hypervisor"},
    {0x40000001, "hypervisor interface"},
    {0x40000002, "hypervisor version"},
    {0x40000003, "hypervisor features"},
    {0x40000004, "Hyper-V recommendations"},
    {0x40000005, "Hyper-V limits"},
    {0x40000006, "Hyper-V hardware features"},
    {0x40000007, "Hyper-V CPU management"},
    {0x40000008, "Hyper-V shared virtual memory"},
    {0x40000009, "Hyper-V nested access"},
    {0x4000000a, "Hyper-V nested features"},
    {0x4000000c, "Hyper-V isolation"},
    {0x40000010, "hypervisor frequencies"},
    {0x40000080, "Hyper-V debugger", 3},
    {0x40000100, "second hypervisor"},
    {0x40000101, "second hypervisor's interface"},
    // kernel/README.md
    {0x4ffffffc, "exit counts of exittop", 4},
    {0x80000000, "highest extended leaf"},
    {0x80000001, "extended features"},
    {0x80000002, "brand string", 3},
    {0x80000005, "L1 caches"},
    {0x80000006, "L2 and L3 caches"},
    {0x80000007, "power management"},
    {0x80000008, "address sizes"},
    {0x8000000a, "SVM"},
    {0x80000019, "TLBs of 1 GiB pages"},
    {0x8000001a, "performance hints"},
    {0x8000001b, "instruction-based sampling"},
    {0x8000001c, "lightweight profiling"},
    {0x8000001d, "cache parameters"},
    {0x8000001e, "topology"},
    {0x8000001f, "memory encryption"},
    {0x80000020, "resource control"},
    {0x80000021, "extended features, part 2"},
    {0x80000022, "performance monitoring"},
    {0x80000023, "memory encryption keys"},
    {0x80000026, "extended topology"},
    {0xc0000000, "highest Centaur leaf"},
    {0xc0000001, "Centaur features"},
});
static_assert(is_in_order(leaf_table));

}  // namespace

std::span<const NameRow> control_registers() { return control_table; }
std::span<const NameRow> debug_registers() { return debug_table; }
std::span<const NameRow> exceptions() { return exception_table; }
std::span<const NameRow> cpuid_leaves() { return leaf_table; }

}  // namespace exittop
