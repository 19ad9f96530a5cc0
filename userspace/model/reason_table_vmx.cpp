// SPDX-License-Identifier: GPL-2.0-only
// VMX basic exit reasons. Numbers: Intel SDM vol. 3, appendix C. Names: VMX_EXIT_REASONS in the
// kernel's arch/x86/include/uapi/asm/vmx.h, the same from 6.18 to 7.3. Rows marked "SDM name" have
// no name there: kvm_exit shows such a reason as a number, and the name follows the manual in the
// kernel's style. 35, 38, 42, 71, 82 and 83 are not assigned.
#include <array>

#include "model/reason_tables.h"

namespace exittop {
namespace {

constexpr auto vmx = Isa::vmx;

constexpr std::string_view nested_advice =
    "Only a hypervisor inside the guest does this: make its own guests exit less, or run them on "
    "the host.";
constexpr std::string_view apicv_advice =
    "Let the CPU deliver guest interrupts: kvm_intel enable_apicv=1 with an in-kernel irqchip.";
constexpr std::string_view hidden_instruction_advice =
    "Use a CPU model that offers the instruction to the guest, or stop the program that ignores "
    "CPUID.";
constexpr std::string_view ept_advice =
    "Load kvm_intel with ept=1: with EPT the CPU does this without an exit.";
constexpr std::string_view failed_entry_advice =
    "Reload kvm_intel with dump_invalid_vmcs=1, read the dump in the kernel log, and report it.";
constexpr std::string_view msr_read_advice =
    "Find the register with the kvm:kvm_msr trace event; give the guest kvm-clock or a stable "
    "TSC, and stop tools in it that poll power or performance MSRs.";
constexpr std::string_view msr_write_advice =
    "Fewer guest timers (nohz, lower HZ); enable_apicv=1, and enable_ipiv=1 where the CPU has it, "
    "take EOI and IPI writes out.";

constexpr auto table = std::to_array<ExitReason>({
    {vmx, 0, "EXCEPTION_NMI",
     "The guest raised an exception that KVM intercepts, or an NMI hit the CPU; with shadow paging "
     "(ept=0) every guest page fault and every write to a shadowed page table ends here.",
     "With ept=0 load kvm_intel with ept=1; with EPT look for host NMIs (perf record, the NMI "
     "watchdog), split locks and debuggers in the guest."},
    {vmx, 1, "EXTERNAL_INTERRUPT",
     "A physical interrupt reached the CPU while the guest ran: the host's timer tick, a device, "
     "or an IPI of the host such as one that kicks this vCPU.",
     "Keep interrupts away from vCPU CPUs: IRQ affinity, isolcpus or nohz_full, pinned vCPUs; "
     "posted interrupts (enable_apicv=1) spare the kicks."},
    {vmx, 2, "TRIPLE_FAULT",
     "The guest faulted while a double fault was being delivered, which is a crash of its kernel "
     "or its way to reboot.",
     "One at a reboot is normal; if they repeat, read the guest's console for a crash."},
    {vmx, 3, "INIT_SIGNAL",
     "An INIT signal reached the physical CPU in guest mode: the host is resetting or taking that "
     "CPU down.",
     ""},
    {vmx, 4, "SIPI_SIGNAL",
     "A start-up IPI reached a vCPU that waits for one in hardware, as when a guest under a nested "
     "hypervisor starts its second CPU.",
     ""},
    // SDM name
    {vmx, 5, "IO_SMI",
     "A system management interrupt came right after an I/O instruction; only firmware that "
     "monitors SMM (dual-monitor treatment) sees this exit.",
     ""},
    // SDM name
    {vmx, 6, "OTHER_SMI",
     "Any other system management interrupt came; only firmware that monitors SMM (dual-monitor "
     "treatment) sees this exit.",
     ""},
    {vmx, 7, "INTERRUPT_WINDOW",
     "The guest has just become able to take an interrupt that KVM was holding back while it had "
     "interrupts disabled; typical without APICv.",
     apicv_advice},
    {vmx, 8, "NMI_WINDOW",
     "The guest has just become able to take an NMI that KVM was holding back, as with perf or the "
     "NMI watchdog inside the guest.",
     "Turn off the guest's NMI watchdog (nmi_watchdog=0) where it is not needed."},
    {vmx, 9, "TASK_SWITCH",
     "The guest switched tasks in hardware (a far jump, call or IRET to a TSS, or a task gate), "
     "which only 32-bit systems do.",
     ""},
    {vmx, 10, "CPUID",
     "The guest executed CPUID, which always exits on Intel: boot, the dynamic loader of every "
     "program that starts, and code that uses it to serialise or to probe features.",
     "It cannot be switched off: find the program in the guest that runs it often, such as a loop "
     "that starts short-lived processes."},
    // SDM name
    {vmx, 11, "GETSEC",
     "The guest executed GETSEC (Safer Mode Extensions, Intel TXT), which always exits; KVM offers "
     "no TXT and answers with #UD.",
     ""},
    {vmx, 12, "HLT",
     "A vCPU has nothing to do and halts until an interrupt; the time is mostly sleep, the price "
     "is the wake-up.",
     "If wake-ups are frequent: raise kvm halt_poll_ns, use cpuidle-haltpoll in the guest, or on "
     "dedicated CPUs let the guest halt for real (QEMU: -overcommit cpu-pm=on)."},
    {vmx, 13, "INVD",
     "The guest threw away caches with INVD, which always exits; firmware does it at start, and "
     "KVM ignores it.",
     ""},
    {vmx, 14, "INVLPG",
     "The guest dropped the translation of one page and KVM must do so in its shadow page tables "
     "(ept=0).",
     ept_advice},
    {vmx, 15, "RDPMC",
     "The guest read a performance counter that KVM emulates: profilers, perf stat, the NMI "
     "watchdog.",
     "Profile less often in the guest, or on kernels that have it load kvm_intel with "
     "enable_mediated_pmu=1."},
    {vmx, 16, "RDTSC",
     "The guest read the time-stamp counter under a control that KVM leaves off for its own "
     "guests: seen where a nested hypervisor intercepts it.",
     nested_advice},
    // SDM name
    {vmx, 17, "RSM",
     "The guest left system management mode under firmware that monitors SMM; KVM emulates its "
     "guests' SMM without this exit.",
     ""},
    {vmx, 18, "VMCALL",
     "The guest called the hypervisor: KVM paravirtual calls (wake a vCPU that waits for a lock, "
     "send IPIs, yield), or Hyper-V calls of a Windows guest.",
     "Normal for paravirtual guests; many wake-up calls mean lock contention, so give the VM fewer "
     "vCPUs or the host more free CPUs."},
    {vmx, 19, "VMCLEAR",
     "A hypervisor inside the guest wrote back one of its VMCSs, as when it moves a vCPU to "
     "another CPU.",
     nested_advice},
    {vmx, 20, "VMLAUNCH", "A hypervisor inside the guest entered its own guest for the first time.",
     nested_advice},
    {vmx, 21, "VMPTRLD",
     "A hypervisor inside the guest chose the VMCS to work on, as it does when it switches between "
     "its vCPUs.",
     nested_advice},
    {vmx, 22, "VMPTRST", "A hypervisor inside the guest asked which VMCS is the current one.",
     nested_advice},
    {vmx, 23, "VMREAD",
     "A hypervisor inside the guest read a VMCS field that the shadow VMCS does not hold.",
     "Use kvm_intel enable_shadow_vmcs=1 on a CPU that has VMCS shadowing."},
    {vmx, 24, "VMRESUME",
     "A hypervisor inside the guest entered its own guest again: one for each exit that it handled "
     "itself.",
     nested_advice},
    {vmx, 25, "VMWRITE",
     "A hypervisor inside the guest wrote a VMCS field that the shadow VMCS does not hold.",
     "Use kvm_intel enable_shadow_vmcs=1 on a CPU that has VMCS shadowing."},
    {vmx, 26, "VMOFF", "A hypervisor inside the guest switched VMX off (VMXOFF).", ""},
    {vmx, 27, "VMON", "A hypervisor inside the guest switched VMX on (VMXON).", ""},
    {vmx, 28, "CR_ACCESS",
     "The guest moved to or from a control register; with shadow paging (ept=0) every address "
     "space switch loads CR3 and exits, with EPT only guarded bits of CR0 and CR4 and CR8 do.",
     "With ept=0 load kvm_intel with ept=1: page table isolation in the guest doubles the CR3 "
     "loads; with ept=1 look for CR8 (interrupt priority), which enable_apicv=1 takes out."},
    {vmx, 29, "DR_ACCESS",
     "The guest touched a debug register for the first time since KVM last swapped them: hardware "
     "breakpoints and watchpoints of gdb, perf or the guest kernel.",
     ""},
    {vmx, 30, "IO_INSTRUCTION",
     "The guest used an I/O port of an emulated device: serial port, PIC and PIT, CMOS clock, IDE, "
     "ACPI timer, PCI configuration, or a legacy virtio doorbell.",
     "Replace emulated devices with virtio 1.0 ones, keep logs off the serial console, use "
     "kvm-clock instead of the ACPI timer, and leave out devices that nobody uses."},
    {vmx, 31, "MSR_READ",
     "The guest read a model-specific register that KVM intercepts: power, thermal and performance "
     "registers, or the APIC where APICv is off.",
     msr_read_advice},
    {vmx, 32, "MSR_WRITE",
     "The guest wrote a model-specific register that KVM intercepts: mostly the TSC deadline timer "
     "being armed, and IPIs through the x2APIC command register.",
     msr_write_advice},
    {vmx, 33, "INVALID_STATE",
     "VM entry failed because the guest state in the VMCS is not valid (bit 31 of the reason is "
     "set): a bug in KVM, in the VMM, or in a nested hypervisor.",
     failed_entry_advice},
    {vmx, 34, "MSR_LOAD_FAIL",
     "VM entry failed while it loaded the guest's MSRs (bit 31 of the reason is set).",
     failed_entry_advice},
    {vmx, 36, "MWAIT_INSTRUCTION",
     "The guest executed MWAIT, which KVM does not offer by default and treats as no operation: "
     "idle loops that ignore CPUID.",
     "On dedicated CPUs let the guest use MWAIT (QEMU: -overcommit cpu-pm=on)."},
    {vmx, 37, "MONITOR_TRAP_FLAG",
     "One guest instruction was done under the monitor trap flag: single-stepping by a hypervisor, "
     "in practice a nested one.",
     ""},
    {vmx, 39, "MONITOR_INSTRUCTION",
     "The guest executed MONITOR, the first half of an MWAIT idle loop, which KVM does not offer "
     "by default.",
     "On dedicated CPUs let the guest use MWAIT (QEMU: -overcommit cpu-pm=on)."},
    {vmx, 40, "PAUSE_INSTRUCTION",
     "A vCPU spun in a PAUSE loop longer than ple_window cycles, waiting for a lock whose holder "
     "is probably not running.",
     "Reduce overcommit (fewer vCPUs per CPU) and keep paravirtual spinlocks on; with one vCPU per "
     "dedicated CPU load kvm_intel with ple_gap=0."},
    {vmx, 41, "MCE_DURING_VMENTRY",
     "A machine check happened during VM entry (bit 31 of the reason is set): the host's hardware "
     "reports an error.",
     "Look for hardware errors in the host's log (rasdaemon, dmesg)."},
    {vmx, 43, "TPR_BELOW_THRESHOLD",
     "The guest lowered its task priority far enough for a pending interrupt; without APICv, "
     "mostly Windows guests.",
     apicv_advice},
    {vmx, 44, "APIC_ACCESS",
     "The guest touched a register of its memory-mapped local APIC that the CPU does not "
     "virtualise; without APICv that includes the end of every interrupt.",
     "Let the CPU deliver guest interrupts: kvm_intel enable_apicv=1; and let the guest use "
     "x2APIC."},
    {vmx, 45, "EOI_INDUCED",
     "The guest ended a level-triggered (or otherwise watched) interrupt under APICv, and KVM must "
     "tell its IOAPIC.",
     "Use devices with MSI or MSI-X instead of INTx, and leave out the PIT and CMOS clock "
     "interrupts."},
    {vmx, 46, "GDTR_IDTR",
     "The guest loaded or stored GDTR or IDTR while KVM emulates UMIP for it, or for a nested "
     "hypervisor that asked.",
     ""},
    {vmx, 47, "LDTR_TR",
     "The guest loaded or stored LDTR or TR while KVM emulates UMIP for it, or for a nested "
     "hypervisor that asked.",
     ""},
    {vmx, 48, "EPT_VIOLATION",
     "The guest touched memory that EPT does not map, or not for this access: the first touch of a "
     "page, a page that was swapped, merged or ballooned, or write protection for dirty logging.",
     "Back the guest with preallocated huge pages, and keep swap, KSM and ballooning off it; "
     "during a live migration it is expected."},
    {vmx, 49, "EPT_MISCONFIG",
     "The guest touched device memory, which KVM marks by an EPT entry that is invalid on purpose: "
     "a virtio doorbell, HPET, IOAPIC, PCI configuration or registers of an emulated card.",
     "Take the doorbell out of the VMM with ioeventfd and vhost (or vhost-user, vDPA, VFIO); "
     "batching and event suppression in virtio save doorbells; use kvm-clock instead of HPET."},
    {vmx, 50, "INVEPT", "A hypervisor inside the guest dropped cached translations of its own EPT.",
     nested_advice},
    {vmx, 51, "RDTSCP",
     "The guest read the time-stamp counter with RDTSCP under a control that KVM leaves off for "
     "its own guests: seen where a nested hypervisor intercepts it.",
     nested_advice},
    {vmx, 52, "PREEMPTION_TIMER",
     "The timer that KVM lets the CPU count down in guest mode ran out: normally the guest's own "
     "APIC timer is due.",
     "Fewer timers in the guest (nohz, lower HZ, no polling programs); with spare housekeeping "
     "CPUs kvm pi_inject_timer=1 delivers the timer from there."},
    {vmx, 53, "INVVPID",
     "A hypervisor inside the guest dropped cached translations of one of its vCPUs.",
     nested_advice},
    {vmx, 54, "WBINVD",
     "The guest wrote back and dropped caches with WBINVD: boot, a CPU going offline, graphics "
     "drivers; KVM really flushes only for devices whose DMA does not snoop.",
     ""},
    {vmx, 55, "XSETBV",
     "The guest enabled extended register state (XCR0), which always exits: once per vCPU at boot, "
     "more often under a nested hypervisor.",
     ""},
    {vmx, 56, "APIC_WRITE",
     "The guest wrote an APIC register under APICv that needs KVM's work afterwards: the command "
     "register (IPIs) or the APIC timer.",
     "On CPUs with IPI virtualisation load kvm_intel with enable_ipiv=1; let the guest use x2APIC "
     "and the TSC deadline timer."},
    {vmx, 57, "RDRAND", "The guest executed RDRAND although its CPUID does not offer it.",
     hidden_instruction_advice},
    {vmx, 58, "INVPCID",
     "The guest dropped tagged translations with INVPCID under shadow paging (ept=0), or although "
     "its CPUID does not offer it; page table isolation does this a lot.",
     ept_advice},
    {vmx, 59, "VMFUNC",
     "The guest executed VMFUNC, which KVM offers only to guests of a nested hypervisor (EPTP "
     "switching).",
     ""},
    {vmx, 60, "ENCLS",
     "The guest executed a privileged SGX leaf that KVM intercepts, such as creating or "
     "initialising an enclave.",
     ""},
    {vmx, 61, "RDSEED", "The guest executed RDSEED although its CPUID does not offer it.",
     hidden_instruction_advice},
    {vmx, 62, "PML_FULL",
     "The CPU's log of written pages is full after 512 entries: dirty logging is on, as in a live "
     "migration or a dirty-rate measurement.",
     "It ends with the migration; if that does not converge, lower the guest's write rate or raise "
     "the bandwidth or the allowed downtime."},
    {vmx, 63, "XSAVES",
     "The guest saved supervisor register state with XSAVES that a hypervisor intercepts, in "
     "practice a nested one.",
     ""},
    {vmx, 64, "XRSTORS",
     "The guest restored supervisor register state with XRSTORS that a hypervisor intercepts, in "
     "practice a nested one.",
     ""},
    // SDM name
    {vmx, 65, "PCONFIG",
     "The guest executed PCONFIG (memory encryption keys) under an intercept; KVM does not offer "
     "it.",
     ""},
    // SDM name
    {vmx, 66, "SPP_EVENT",
     "A sub-page write permission table had a missing or invalid entry; KVM does not use sub-page "
     "protection.",
     ""},
    {vmx, 67, "UMWAIT",
     "The guest executed UMWAIT while a hypervisor intercepts reads of the time-stamp counter, in "
     "practice a nested one.",
     ""},
    {vmx, 68, "TPAUSE",
     "The guest executed TPAUSE while a hypervisor intercepts reads of the time-stamp counter, in "
     "practice a nested one.",
     ""},
    // SDM name
    {vmx, 69, "LOADIWKEY",
     "The guest loaded a wrapping key (Key Locker) under an intercept; KVM does not offer it.", ""},
    // SDM name
    {vmx, 70, "ENCLV",
     "The guest executed an SGX leaf for oversubscribing enclave memory under an intercept; KVM "
     "does not offer it.",
     ""},
    // SDM name
    {vmx, 72, "ENQCMD_PASID",
     "ENQCMD could not translate the guest's PASID: a work submission to a shared device queue by "
     "an address space the hypervisor does not know.",
     ""},
    // SDM name
    {vmx, 73, "ENQCMDS_PASID",
     "ENQCMDS could not translate the PASID it was given: a privileged work submission to a shared "
     "device queue for an address space the hypervisor does not know.",
     ""},
    {vmx, 74, "BUS_LOCK",
     "The guest locked the whole bus with an atomic access that crosses a cache line or is not "
     "cacheable; the exit comes after the instruction.",
     "Find the program in the guest with split locks (its kernel logs them) and align its data; "
     "the VMM can limit the rate (QEMU: bus-lock-ratelimit)."},
    {vmx, 75, "NOTIFY",
     "The guest kept the CPU unable to take events for longer than the notify window: a stuck or "
     "hostile guest.",
     "Look at what the guest runs; the VMM sets the window (QEMU: notify-vmexit, notify-window)."},
    // SDM name; the kernel defines the number without a name to print
    {vmx, 76, "SEAMCALL",
     "The guest tried to call the host's TDX module, which always exits; KVM answers with #UD.",
     ""},
    {vmx, 77, "TDCALL",
     "A TDX guest asked the host for a service that KVM counts under no other name, such as "
     "converting pages to shared, or a quote; its I/O, MSR and halt requests count as those.",
     "Frequent page conversions come from bounce buffers: give the guest a larger swiotlb."},
    // SDM name
    {vmx, 78, "RDMSRLIST",
     "The guest read a list of MSRs with one instruction and one of them is intercepted.",
     msr_read_advice},
    // SDM name
    {vmx, 79, "WRMSRLIST",
     "The guest wrote a list of MSRs with one instruction and one of them is intercepted.",
     msr_write_advice},
    // SDM name
    {vmx, 80, "URDMSR",
     "A user program in the guest read an MSR with URDMSR and the register is intercepted.", ""},
    // SDM name
    {vmx, 81, "UWRMSR",
     "A user program in the guest wrote an MSR with UWRMSR and the register is intercepted.", ""},
    {vmx, 84, "MSR_READ_IMM",
     "As MSR_READ, by the form of RDMSR that holds the register's number in the instruction.",
     msr_read_advice},
    {vmx, 85, "MSR_WRITE_IMM",
     "As MSR_WRITE, by the form of WRMSRNS that holds the register's number in the instruction.",
     msr_write_advice},
});

static_assert(is_strictly_ascending(table));

}  // namespace

std::span<const ExitReason> vmx_reasons() { return table; }

}  // namespace exittop
