// SPDX-License-Identifier: GPL-2.0-only
// What is where in the PCs that VMMs emulate: I/O ports, registers of the local APIC, addresses of
// devices. Not here: what firmware and guests place themselves (BARs of PCI devices, virtio).
#include <array>

#include "model/target_tables.h"

namespace exittop {
namespace {

// The ports of an AT are those of every chipset's data sheet (Intel 290562 for PIIX4, 316972 for
// ICH9); QEMU's own: docs/specs/ and hw/i386, hw/acpi, hw/isa of its sources. Of the power
// management, 0x600 is where SeaBIOS and OVMF put it on q35 and SeaBIOS on pc, and where Cloud
// Hypervisor has it; 0xb000 is OVMF's and the older SeaBIOS' choice for pc.
constexpr auto port_table = std::to_array<NameRow>({
    {0x0, "DMA controller 1", 16},
    {0x20, "PIC 1", 2},
    {0x40, "PIT", 4},
    {0x60, "keyboard data"},
    {0x61, "system control port B"},
    {0x64, "keyboard command"},
    {0x70, "CMOS index"},
    {0x71, "CMOS data"},
    {0x72, "CMOS index, upper bank"},
    {0x73, "CMOS data, upper bank"},
    {0x80, "POST code"},
    {0x81, "DMA page registers", 15},
    {0x92, "A20 gate and fast reset"},
    {0xa0, "PIC 2", 2},
    {0xb2, "SMI command"},
    {0xb3, "SMI status"},
    {0xc0, "DMA controller 2", 32},
    {0xe9, "debug console"},
    {0xed, "I/O delay"},
    {0xf0, "FPU error"},
    // Where kvm-unit-tests and many small kernels put QEMU's isa-debug-exit; 0x501 is its default.
    {0xf4, "debug exit"},
    {0x170, "IDE 2", 8},
    {0x1ce, "VBE index"},
    {0x1cf, "VBE data", 2},
    {0x1f0, "IDE 1", 8},
    {0x201, "game port"},
    {0x278, "parallel 2", 8},
    {0x2e8, "serial 4", 8},
    {0x2f8, "serial 2", 8},
    {0x376, "IDE 2 control"},
    {0x378, "parallel", 8},
    {0x3b0, "VGA", 48},
    {0x3e8, "serial 3", 8},
    {0x3f0, "floppy", 6},
    {0x3f6, "IDE 1 control"},
    {0x3f7, "floppy"},
    {0x3f8, "serial", 8},
    {0x402, "firmware debug console"},
    {0x4d0, "PIC edge or level", 2},
    {0x501, "debug exit", 2},
    {0x505, "pvpanic"},
    {0x510, "fw_cfg selector"},
    {0x511, "fw_cfg data"},
    {0x514, "fw_cfg DMA", 8},
    {0x600, "ACPI PM1 event", 4},
    {0x604, "ACPI PM1 control", 2},
    {0x608, "ACPI PM timer", 4},
    {0x620, "ACPI GPE", 16},
    {0x630, "SMI control", 8},
    {0x660, "TCO watchdog", 32},
    {0x700, "SMBus", 64},
    {0xa00, "ACPI memory hotplug", 24},
    // QEMU lays the two over each other: PCI's range ends with 0xcd7 where CPUs have theirs.
    {0xcc0, "ACPI PCI hotplug", 24},
    {0xcd8, "ACPI CPU hotplug", 32},
    {0xcf8, "PCI config address"},
    {0xcf9, "reset"},
    {0xcfc, "PCI config data", 4},
    {0x5658, "VMware backdoor", 2},
    {0xae00, "ACPI PCI hotplug", 24},
    {0xaf00, "ACPI CPU hotplug", 32},
    {0xafe0, "ACPI GPE", 4},
    {0xb000, "ACPI PM1 event", 4},
    {0xb004, "ACPI PM1 control", 2},
    {0xb008, "ACPI PM timer", 4},
    {0xb100, "SMBus", 64},
});
static_assert(is_in_order(port_table));

// SDM vol. 3, "Local APIC Register Address Map"; those from 0x400 on: APM vol. 2, "APIC Registers".
constexpr auto apic_table = std::to_array<NameRow>({
    {0x20, "ID"},
    {0x30, "version"},
    {0x80, "TPR"},
    {0x90, "APR"},
    {0xa0, "PPR"},
    {0xb0, "EOI"},
    {0xc0, "RRD"},
    {0xd0, "LDR"},
    {0xe0, "DFR"},
    {0xf0, "SVR"},
    {0x100, "ISR{}", 8, 16},
    {0x180, "TMR{}", 8, 16},
    {0x200, "IRR{}", 8, 16},
    {0x280, "ESR"},
    {0x2f0, "LVT CMCI"},
    {0x300, "ICR"},
    {0x310, "ICR high"},
    {0x320, "LVT timer"},
    {0x330, "LVT thermal"},
    {0x340, "LVT PMC"},
    {0x350, "LVT LINT{}", 2, 16},
    {0x370, "LVT error"},
    {0x380, "timer initial count"},
    {0x390, "timer current count"},
    {0x3e0, "timer divide"},
    {0x3f0, "self IPI"},
    {0x400, "extended features"},
    {0x410, "extended control"},
    {0x420, "specific EOI"},
    {0x480, "IER{}", 8, 16},
    {0x500, "extended LVT{}", 4, 16},
});
static_assert(is_in_order(apic_table));

// 82093AA data sheet (IO-APIC), the HPET's specification 1.0a.
constexpr auto register_table = std::to_array<NameRow>({
    {0xfec00000, "IO-APIC select"},
    {0xfec00010, "IO-APIC data"},
    {0xfec00040, "IO-APIC EOI"},
    {0xfed00000, "HPET capabilities", 8},
    {0xfed00010, "HPET configuration", 8},
    {0xfed00020, "HPET interrupt status", 8},
    {0xfed000f0, "HPET main counter", 8},
    {0xfed00100, "HPET timer {} configuration", 8, 32},
    {0xfed00108, "HPET timer {} comparator", 8, 32},
});
static_assert(is_in_order(register_table));

// QEMU: hw/i386, include/hw/i386/intel_iommu.h, hw/i386/amd_iommu.h, include/hw/acpi/tpm.h; q35's
// PCI Express configuration is where SeaBIOS puts it.
constexpr auto address_table = std::to_array<NameRow>({
    {0xa0000, "VGA memory", 0x20000},
    {0xc0000, "option ROM", 0x20000},
    {0xe0000, "BIOS", 0x20000},
    {0xb0000000, "PCI Express configuration", 0x10000000},
    {0xfec00000, "IO-APIC", 0x1000},
    {0xfec10000, "IO-APIC 2", 0x1000},
    {0xfed00000, "HPET", 0x400},
    {0xfed1c000, "chipset registers", 0x4000},
    {0xfed40000, "TPM", 0x5000},
    {0xfed45000, "TPM physical presence", 0x400},
    {0xfed80000, "AMD IOMMU", 0x4000},
    {0xfed90000, "Intel IOMMU", 0x1000},
    {0xfee00000, "local APIC", 0x1000},
    {0xffc00000, "firmware flash", 0x400000},
});
static_assert(is_in_order(address_table));

}  // namespace

std::span<const NameRow> ports() { return port_table; }
std::span<const NameRow> apic_registers() { return apic_table; }
std::span<const NameRow> device_registers() { return register_table; }
std::span<const NameRow> device_addresses() { return address_table; }

}  // namespace exittop
