// SPDX-License-Identifier: GPL-2.0-only
// SVM exit codes. Numbers: AMD APM vol. 2, appendix C, and the GHCB specification for 0x8000xxxx.
// Names: SVM_EXIT_REASONS in the kernel's arch/x86/include/uapi/asm/svm.h, the same from 6.18 to
// 7.3, with its spelling ("read_rt" is the task register). Rows marked "APM name" or "GHCB name"
// have no name there: kvm_exit shows such a code as a number, and the name follows the manual in
// the kernel's style. Left out: control and debug registers that no CPU has (CR1, CR5, DR8 ...),
// and vectors without an exception. The negative codes are 64 bits wide in hardware; this is their
// lower half, as the tracepoint has it.
#include <array>

#include "model/reason_tables.h"

namespace exittop {
namespace {

constexpr auto svm = Isa::svm;

constexpr std::string_view nested_only =
    "A guest of a nested hypervisor did something that hypervisor intercepts; KVM does not ask for "
    "this exit for itself.";
constexpr std::string_view nested_advice =
    "Only a hypervisor inside the guest causes this: make its own guests exit less, or run them on "
    "the host.";
constexpr std::string_view debug_register =
    "The guest touched a debug register for the first time since KVM last swapped them: hardware "
    "breakpoints and watchpoints of gdb, perf or the guest kernel.";
constexpr std::string_view npt_advice =
    "Load kvm_amd with npt=1: with nested paging the CPU does this without an exit.";
constexpr std::string_view avic_advice =
    "Let the CPU deliver guest interrupts: kvm_amd avic=1 on a CPU with AVIC, x2APIC mode where it "
    "has x2AVIC.";
constexpr std::string_view vls_advice =
    "Use kvm_amd vls=1 on a CPU with virtual VMLOAD and VMSAVE.";
constexpr std::string_view vgif_advice =
    "Use kvm_amd vgif=1 on a CPU with a virtual global interrupt flag.";
constexpr std::string_view mwait_advice =
    "On dedicated CPUs let the guest use MWAIT (QEMU: -overcommit cpu-pm=on).";
constexpr std::string_view hlt_advice =
    "If wake-ups are frequent: raise kvm halt_poll_ns, use cpuidle-haltpoll in the guest, or on "
    "dedicated CPUs let the guest halt for real (QEMU: -overcommit cpu-pm=on).";
constexpr std::string_view mmio_advice =
    "Take the doorbell out of the VMM with ioeventfd and vhost (or vhost-user, vDPA, VFIO), and "
    "leave out emulated devices.";
constexpr std::string_view bounce_advice =
    "Frequent page conversions come from bounce buffers: give the guest a larger swiotlb.";
constexpr std::string_view report_advice =
    "Reload kvm_amd with dump_invalid_vmcb=1, read the dump in the kernel log, and report it.";

constexpr auto table = std::to_array<ExitReason>({
    {svm, 0x000, "read_cr0",
     "The guest read CR0 while KVM shows it another value than the real one: shadow paging "
     "(npt=0), or paging and caching not yet set up at boot.",
     npt_advice},
    {svm, 0x002, "read_cr2", nested_only, nested_advice},
    {svm, 0x003, "read_cr3",
     "The guest read CR3 under shadow paging (npt=0), where the real one points to KVM's tables.",
     npt_advice},
    {svm, 0x004, "read_cr4", "The guest read CR4, which KVM keeps for it; rare after boot.", ""},
    {svm, 0x008, "read_cr8",
     "The guest read its interrupt priority (CR8) under an intercept, in practice that of a nested "
     "hypervisor.",
     ""},
    {svm, 0x010, "write_cr0",
     "The guest changed CR0: mode switches at boot, and with npt=0 each lazy switch of FPU state.",
     npt_advice},
    {svm, 0x012, "write_cr2", nested_only, nested_advice},
    {svm, 0x013, "write_cr3",
     "The guest loaded CR3 under shadow paging (npt=0): one for each switch of address space, and "
     "with page table isolation two for each system call.",
     npt_advice},
    {svm, 0x014, "write_cr4",
     "The guest changed CR4: features switched on at boot, and full TLB flushes that toggle its "
     "global bit.",
     ""},
    {svm, 0x018, "write_cr8",
     "The guest lowered its interrupt priority (CR8) while an interrupt waits below it; mostly "
     "Windows guests.",
     avic_advice},
    {svm, 0x020, "read_dr0", debug_register, ""},
    {svm, 0x021, "read_dr1", debug_register, ""},
    {svm, 0x022, "read_dr2", debug_register, ""},
    {svm, 0x023, "read_dr3", debug_register, ""},
    {svm, 0x024, "read_dr4", debug_register, ""},
    {svm, 0x025, "read_dr5", debug_register, ""},
    {svm, 0x026, "read_dr6", debug_register, ""},
    {svm, 0x027, "read_dr7", debug_register, ""},
    {svm, 0x030, "write_dr0", debug_register, ""},
    {svm, 0x031, "write_dr1", debug_register, ""},
    {svm, 0x032, "write_dr2", debug_register, ""},
    {svm, 0x033, "write_dr3", debug_register, ""},
    {svm, 0x034, "write_dr4", debug_register, ""},
    {svm, 0x035, "write_dr5", debug_register, ""},
    {svm, 0x036, "write_dr6", debug_register, ""},
    {svm, 0x037, "write_dr7", debug_register, ""},
    {svm, 0x040, "DE excp",
     "Divide error: a guest of a nested hypervisor divided by zero and that hypervisor intercepts "
     "it.",
     ""},
    {svm, 0x041, "DB excp",
     "Debug exception: single step or a hardware breakpoint, intercepted so that the guest cannot "
     "hang the CPU with it, or for a debugger attached to the VM.",
     ""},
    {svm, 0x043, "BP excp",
     "Breakpoint (INT3), intercepted while a debugger is attached to the VM (the VMM's gdb stub).",
     ""},
    {svm, 0x044, "OF excp", nested_only, nested_advice},
    {svm, 0x045, "BR excp", nested_only, nested_advice},
    {svm, 0x046, "UD excp",
     "Invalid opcode: the guest ran an instruction the CPU lacks, or one of the other vendor "
     "(VMCALL) that KVM emulates.",
     "If it repeats, the guest has software for another CPU: check the CPU model it is given."},
    {svm, 0x047, "NM excp",
     "FPU not available: lazy FPU switching, intercepted by old kernels with npt=0 or by a nested "
     "hypervisor.",
     ""},
    {svm, 0x048, "DF excp", nested_only, nested_advice},
    {svm, 0x04a, "TS excp", nested_only, nested_advice},
    {svm, 0x04b, "NP excp", nested_only, nested_advice},
    {svm, 0x04c, "SS excp", nested_only, nested_advice},
    {svm, 0x04d, "GP excp",
     "General protection fault, intercepted for the VMware backdoor (kvm enable_vmware_backdoor=1) "
     "or to work around CPU errata around SVM instructions.",
     "Without VMware tools in the guest load kvm with enable_vmware_backdoor=0."},
    {svm, 0x04e, "PF excp",
     "Page fault: with shadow paging (npt=0) every guest page fault and every write to a shadowed "
     "page table ends here.",
     npt_advice},
    {svm, 0x050, "MF excp", nested_only, nested_advice},
    {svm, 0x051, "AC excp",
     "Alignment check, intercepted so that a guest cannot hang the CPU with a fault inside a fault "
     "delivery; programs in the guest that ask for alignment checks cause it.",
     ""},
    {svm, 0x052, "MC excp", "Machine check: the hardware reported an error while the guest ran.",
     "Look for hardware errors in the host's log (rasdaemon, dmesg)."},
    {svm, 0x053, "XF excp", nested_only, nested_advice},
    // APM name, and so the next three
    {svm, 0x055, "CP excp",
     "Control-flow protection fault (shadow stacks), intercepted by a nested hypervisor.", ""},
    {svm, 0x05c, "HV excp",
     "Hypervisor injection exception of an SNP guest with restricted interrupts, under an "
     "intercept that KVM does not set.",
     ""},
    {svm, 0x05d, "VC excp",
     "VMM communication exception of an SEV-ES guest, under an intercept that KVM does not set.",
     ""},
    {svm, 0x05e, "SX excp",
     "Security exception, an INIT signal turned into an exception, under an intercept that KVM "
     "does not set.",
     ""},
    {svm, 0x060, "interrupt",
     "A physical interrupt reached the CPU while the guest ran: the host's timer tick, a device, "
     "or an IPI of the host such as one that kicks this vCPU.",
     "Keep interrupts away from vCPU CPUs: IRQ affinity, isolcpus or nohz_full, pinned vCPUs; AVIC "
     "(kvm_amd avic=1) spares the kicks."},
    {svm, 0x061, "nmi",
     "A physical NMI came while the guest ran: perf record on the host or its NMI watchdog.",
     "Stop profiling, or turn off the host's NMI watchdog (kernel.nmi_watchdog=0)."},
    {svm, 0x062, "smi",
     "A system management interrupt came while the guest ran: the host's firmware at work.",
     "Look for firmware settings that cause SMIs (USB legacy support, power capping)."},
    {svm, 0x063, "init",
     "An INIT signal reached the physical CPU in guest mode: the host is resetting or taking that "
     "CPU down.",
     ""},
    {svm, 0x064, "vintr",
     "The guest has just become able to take an interrupt that KVM was holding back while it had "
     "interrupts disabled; typical without AVIC.",
     avic_advice},
    {svm, 0x065, "cr0_sel_write",
     "The guest changed a bit of CR0 other than TS and MP, as it does when it switches paging or "
     "caching on or off.",
     ""},
    {svm, 0x066, "read_idtr", nested_only, nested_advice},
    {svm, 0x067, "read_gdtr", nested_only, nested_advice},
    {svm, 0x068, "read_ldtr", nested_only, nested_advice},
    {svm, 0x069, "read_rt", nested_only, nested_advice},
    {svm, 0x06a, "write_idtr", nested_only, nested_advice},
    {svm, 0x06b, "write_gdtr", nested_only, nested_advice},
    {svm, 0x06c, "write_ldtr", nested_only, nested_advice},
    {svm, 0x06d, "write_rt", nested_only, nested_advice},
    {svm, 0x06e, "rdtsc", nested_only, nested_advice},
    {svm, 0x06f, "rdpmc",
     "The guest read a performance counter that KVM emulates: profilers, perf stat, the NMI "
     "watchdog.",
     "Profile less often in the guest, or on kernels that have it load kvm_amd with "
     "enable_mediated_pmu=1."},
    {svm, 0x070, "pushf", nested_only, nested_advice},
    {svm, 0x071, "popf", nested_only, nested_advice},
    {svm, 0x072, "cpuid",
     "The guest executed CPUID, which KVM always intercepts: boot, the dynamic loader of every "
     "program that starts, and code that uses it to serialise or to probe features.",
     "Find the program in the guest that runs it often, such as a loop that starts short-lived "
     "processes."},
    {svm, 0x073, "rsm",
     "The guest left its emulated system management mode, as UEFI firmware with Secure Boot does "
     "for each variable it writes.",
     ""},
    {svm, 0x074, "iret",
     "The guest returned from an NMI handler and KVM waits for that to deliver the next NMI: perf "
     "or the NMI watchdog inside the guest.",
     "Use kvm_amd vnmi=1 on a CPU with virtual NMIs, or turn off the guest's NMI watchdog "
     "(nmi_watchdog=0)."},
    {svm, 0x075, "swint", nested_only, nested_advice},
    {svm, 0x076, "invd",
     "The guest threw away caches with INVD; firmware does it at start, and KVM ignores it.", ""},
    {svm, 0x077, "pause",
     "A vCPU spun in a PAUSE loop more than pause_filter_count times, waiting for a lock whose "
     "holder is probably not running.",
     "Reduce overcommit (fewer vCPUs per CPU) and keep paravirtual spinlocks on; with one vCPU per "
     "dedicated CPU load kvm_amd with pause_filter_count=0."},
    {svm, 0x078, "hlt",
     "A vCPU has nothing to do and halts until an interrupt; the time is mostly sleep, the price "
     "is the wake-up.",
     hlt_advice},
    {svm, 0x079, "invlpg",
     "The guest dropped the translation of one page and KVM must do so in its shadow page tables "
     "(npt=0).",
     npt_advice},
    {svm, 0x07a, "invlpga",
     "A hypervisor inside the guest dropped the translation of one page of its own guest.",
     nested_advice},
    {svm, 0x07b, "io",
     "The guest used an I/O port of an emulated device: serial port, PIC and PIT, CMOS clock, IDE, "
     "ACPI timer, PCI configuration, or a legacy virtio doorbell.",
     "Replace emulated devices with virtio 1.0 ones, keep logs off the serial console, use "
     "kvm-clock instead of the ACPI timer, and leave out devices that nobody uses."},
    {svm, 0x07c, "msr",
     "The guest read or wrote a model-specific register that KVM intercepts: mostly the TSC "
     "deadline timer being armed, and with x2APIC the end of interrupts and IPIs.",
     "Fewer guest timers (nohz, lower HZ); AVIC (kvm_amd avic=1, x2AVIC) takes interrupts and IPIs "
     "out."},
    {svm, 0x07d, "task_switch",
     "The guest switched tasks in hardware (a far jump, call or IRET to a TSS, or a task gate), "
     "which only 32-bit systems do.",
     ""},
    {svm, 0x07e, "ferr_freeze",
     "The FPU reported an error in the old way, by a frozen CPU and an interrupt; only systems "
     "from DOS days use it.",
     ""},
    {svm, 0x07f, "shutdown",
     "The guest faulted while a double fault was being delivered (a triple fault), which is a "
     "crash of its kernel or its way to reboot.",
     "One at a reboot is normal; if they repeat, read the guest's console for a crash."},
    {svm, 0x080, "vmrun",
     "A hypervisor inside the guest entered its own guest: one for each exit that it handled "
     "itself.",
     nested_advice},
    {svm, 0x081, "hypercall",
     "The guest called the hypervisor (VMMCALL): KVM paravirtual calls (wake a vCPU that waits for "
     "a lock, send IPIs, yield), or Hyper-V calls of a Windows guest.",
     "Normal for paravirtual guests; many wake-up calls mean lock contention, so give the VM fewer "
     "vCPUs or the host more free CPUs."},
    {svm, 0x082, "vmload",
     "A hypervisor inside the guest loaded the rest of its guest's state before an entry.",
     vls_advice},
    {svm, 0x083, "vmsave",
     "A hypervisor inside the guest saved the rest of its guest's state after an exit.",
     vls_advice},
    {svm, 0x084, "stgi",
     "A hypervisor inside the guest set the global interrupt flag after handling an exit.",
     vgif_advice},
    {svm, 0x085, "clgi",
     "A hypervisor inside the guest cleared the global interrupt flag before an entry.",
     vgif_advice},
    {svm, 0x086, "skinit",
     "The guest started a measured launch with SKINIT; KVM offers none and answers with #UD.", ""},
    {svm, 0x087, "rdtscp", nested_only, nested_advice},
    {svm, 0x088, "icebp", nested_only, nested_advice},
    {svm, 0x089, "wbinvd",
     "The guest wrote back and dropped caches with WBINVD: boot, a CPU going offline, graphics "
     "drivers; KVM really flushes only for devices whose DMA does not snoop.",
     ""},
    {svm, 0x08a, "monitor",
     "The guest executed MONITOR, the first half of an MWAIT idle loop, which KVM does not offer "
     "by default.",
     mwait_advice},
    {svm, 0x08b, "mwait",
     "The guest executed MWAIT, which KVM does not offer by default and treats as no operation: "
     "idle loops that ignore CPUID.",
     mwait_advice},
    // APM name
    {svm, 0x08c, "mwait_cond",
     "The guest executed MWAIT with its monitor armed, under the intercept for just that case; KVM "
     "uses the plain one.",
     mwait_advice},
    {svm, 0x08d, "xsetbv",
     "The guest enabled extended register state (XCR0): once per vCPU at boot, more often under a "
     "nested hypervisor.",
     ""},
    // APM name
    {svm, 0x08e, "rdpru",
     "A program in the guest read a frequency counter with RDPRU; KVM does not offer it and "
     "answers with #UD.",
     ""},
    {svm, 0x08f, "write_efer_trap",
     "An SEV-ES guest changed EFER and KVM is told afterwards: mode switches at boot.", ""},
    {svm, 0x090, "write_cr0_trap",
     "An SEV-ES guest changed CR0 and KVM is told afterwards: mode switches at boot.", ""},
    // APM name, and so the next
    {svm, 0x092, "write_cr2_trap",
     "A guest wrote CR2 and the hypervisor is told afterwards; KVM does not ask for it.", ""},
    {svm, 0x093, "write_cr3_trap",
     "A guest loaded CR3 and the hypervisor is told afterwards; KVM does not ask for it.", ""},
    {svm, 0x094, "write_cr4_trap",
     "An SEV-ES guest changed CR4 and KVM is told afterwards: features switched on at boot, full "
     "TLB flushes that toggle its global bit.",
     ""},
    {svm, 0x098, "write_cr8_trap",
     "An SEV-ES guest changed its interrupt priority (CR8) and KVM is told afterwards.", ""},
    // APM name, and so the next
    {svm, 0x0a0, "invlpgb",
     "The guest broadcast a TLB flush to all CPUs with INVLPGB, which KVM does not offer.", ""},
    {svm, 0x0a1, "invlpgb_illegal", "The guest executed INVLPGB with operands a guest may not use.",
     ""},
    {svm, 0x0a2, "invpcid",
     "The guest dropped tagged translations with INVPCID under shadow paging (npt=0), or although "
     "its CPUID does not offer it.",
     npt_advice},
    // APM name, and so the next
    {svm, 0x0a3, "mcommit",
     "The guest waited for its stores to reach memory with MCOMMIT under an intercept.", ""},
    {svm, 0x0a4, "tlbsync",
     "The guest waited for its broadcast TLB flushes with TLBSYNC under an intercept.", ""},
    {svm, 0x0a5, "buslock",
     "The guest used up its allowance of bus locks: atomic accesses that cross a cache line or are "
     "not cacheable.",
     "Find the program in the guest with split locks and align its data."},
    {svm, 0x0a6, "idle-halt",
     "A vCPU halts with no virtual interrupt pending: HLT on a CPU that leaves out the exits for "
     "halts that would end at once.",
     hlt_advice},
    {svm, 0x400, "npf",
     "Nested page fault: the guest touched memory that NPT does not map (first touch, swapped, "
     "merged or ballooned pages, dirty logging), or device memory such as a virtio doorbell, HPET "
     "or IOAPIC.",
     "Memory: preallocated huge pages; no swap, KSM or ballooning; expected in a migration. "
     "Devices: ioeventfd with vhost or VFIO, kvm-clock instead of HPET."},
    {svm, 0x401, "avic_incomplete_ipi",
     "An IPI sent under AVIC could not be delivered by the CPU alone: its target is not running, "
     "or the kind of IPI needs KVM.",
     "Keep vCPUs running (less overcommit, halt polling); IPIs to sleeping vCPUs always need KVM."},
    {svm, 0x402, "avic_unaccelerated_access",
     "The guest touched an APIC register that AVIC does not virtualise: timer set-up, the end of a "
     "level-triggered interrupt.",
     "Use devices with MSI or MSI-X instead of INTx, and let the guest use the TSC deadline "
     "timer."},
    {svm, 0x403, "vmgexit",
     "An SEV-ES or SNP guest asked the host for a service through the shared page (GHCB): I/O, "
     "device memory, an MSR, CPUID, or one of the requests 0x8000xxxx.",
     "As for the service asked for (kvm:kvm_vmgexit_enter names it): virtio instead of emulated "
     "devices, fewer doorbells, fewer timers."},
    {svm, 0x80000001, "vmgexit_mmio_read",
     "Request of an SEV-ES guest (normally counted as vmgexit): read device memory.", mmio_advice},
    {svm, 0x80000002, "vmgexit_mmio_write",
     "Request of an SEV-ES guest (normally counted as vmgexit): write device memory, such as a "
     "virtio doorbell.",
     mmio_advice},
    {svm, 0x80000003, "vmgexit_nmi_complete",
     "Request of an SEV-ES guest (normally counted as vmgexit): its NMI handler is done.", ""},
    {svm, 0x80000004, "vmgexit_ap_hlt_loop",
     "Request of an SEV-ES guest (normally counted as vmgexit): a vCPU waits to be started.", ""},
    {svm, 0x80000005, "vmgexit_ap_jump_table",
     "Request of an SEV-ES guest (normally counted as vmgexit): set or get where its vCPUs start.",
     ""},
    {svm, 0x80000010, "vmgexit_page_state_change",
     "Request of an SNP guest (normally counted as vmgexit): make pages private or shared.",
     bounce_advice},
    {svm, 0x80000011, "vmgexit_guest_request",
     "Request of an SNP guest (normally counted as vmgexit): a message to the security processor, "
     "such as for an attestation report.",
     ""},
    {svm, 0x80000012, "vmgexit_ext_guest_request",
     "Request of an SNP guest (normally counted as vmgexit): an attestation report with its "
     "certificates.",
     ""},
    {svm, 0x80000013, "vmgexit_ap_creation",
     "Request of an SNP guest (normally counted as vmgexit): create or destroy a vCPU.", ""},
    // GHCB name, and so the next five
    {svm, 0x80000014, "vmgexit_hv_doorbell_page",
     "Request of an SNP guest: set or query the page by which it takes restricted interrupts.", ""},
    {svm, 0x80000015, "vmgexit_hv_ipi",
     "Request of an SNP guest with restricted interrupts: send an IPI.", ""},
    {svm, 0x80000016, "vmgexit_hv_timer",
     "Request of an SNP guest with restricted interrupts: program the APIC timer.", ""},
    {svm, 0x80000017, "vmgexit_apic_id_list",
     "Request of an SNP guest: the list of APIC ids of its vCPUs.", ""},
    {svm, 0x80000018, "vmgexit_snp_run_vmpl",
     "Request of an SNP guest: run the vCPU at another privilege level, such as a call to its "
     "secure service module (SVSM).",
     ""},
    {svm, 0x8000001a, "vmgexit_savic",
     "Request of an SNP guest: register or drop the backing page of its secure AVIC.", ""},
    {svm, 0x8000fffd, "vmgexit_hypervisor_feature",
     "Request of an SEV-ES guest (normally counted as vmgexit): which features the host has.", ""},
    // GHCB name, and so the next
    {svm, 0x8000fffe, "vmgexit_term_request",
     "Request of an SEV-ES guest: end me, I cannot go on (a failed check at boot).",
     "Read the reason in the host's kernel log and the guest's console."},
    {svm, 0x8000ffff, "vmgexit_unsupported_event",
     "Request of an SEV-ES guest: an event came that its handler does not support.",
     "Read the guest's console; a newer guest kernel may handle the event."},
    // APM name, and so the next three
    {svm, 0xf0000000, "sw", "Code reserved for software: one hypervisor layer reports to another.",
     ""},
    {svm, 0xfffffffc, "invalid_pmc",
     "VM entry failed because the virtual performance counter state is not valid.", report_advice},
    {svm, 0xfffffffd, "idle_required",
     "VM entry failed because the sibling thread is not idle, as the SNP guest demands.",
     "Leave the sibling threads of this guest's CPUs idle, or switch SMT off."},
    {svm, 0xfffffffe, "busy",
     "VM entry failed because the encrypted vCPU state is in use already: the same vCPU is running "
     "elsewhere.",
     report_advice},
    {svm, 0xffffffff, "invalid_guest_state",
     "VM entry failed because the guest state in the VMCB is not valid: a bug in KVM, in the VMM, "
     "or in a nested hypervisor.",
     report_advice},
});

static_assert(is_strictly_ascending(table));

}  // namespace

std::span<const ExitReason> svm_reasons() { return table; }

}  // namespace exittop
