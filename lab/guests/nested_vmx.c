// SPDX-License-Identifier: GPL-2.0-only
// A guest hypervisor by Intel's VMX, and its guest: see nested_vm.h.
//
// L1 switches VMX on, fills a VMCS and launches L2. It wants only what VMX always gives it, CPUID
// and VMCALL, and HLT: those exits of L2 KVM hands on to L1, which executes a CPUID of its own,
// skips the instruction and resumes L2, until L2 halts. The others KVM handles itself.
//
// Chapters and appendices named here are those of the Intel 64 and IA-32 Architectures Software
// Developer's Manual, volume 3; their numbers differ between its editions, so titles are given.
#define _GNU_SOURCE
#define PROGRAM_NAME "nested_vmx"
#include "nested_vm.h"

#include <stddef.h>

// L1's pages for VMX. The MSR bitmap is all zero: L1 wants no access to an MSR to exit.
enum {
    VMXON_REGION = VENDOR,
    VMCS = VENDOR + PAGE,
    MSR_BITMAP = VENDOR + 2 * PAGE,
    SHARED = VENDOR + 3 * PAGE,
};

// What this program and L1 tell each other, at SHARED.
struct shared {
    uint64_t vmxon_region, vmcs; // operands of VMXON, VMCLEAR, VMPTRLD: where the addresses are
    uint64_t last_exit;          // L2's exit reason; bit 63: an instruction of VMX failed, and how
    struct {
        uint64_t encoding, value;
    } fields[];                  // the VMCS as L1 is to write it
};
_Static_assert(offsetof(struct shared, vmcs) == 8 && offsetof(struct shared, last_exit) == 16 &&
                   offsetof(struct shared, fields) == 24,
               "the guest's code below knows these offsets");

enum { EXIT_HLT = 12 }; // appendix "VMX Basic Exit Reasons"; CPUID is 10, VMCALL is 18

// Appendix "Field Encoding in VMCS".
enum {
    GUEST_ES = 0x0800, // selector, limit, access rights, base: of ES, CS, SS, DS, FS, GS, LDTR, TR
    GUEST_ES_LIMIT = 0x4800,
    GUEST_ES_RIGHTS = 0x4814,
    GUEST_ES_BASE = 0x6806,
    HOST_ES = 0x0c00, // selectors, of ES, CS, SS, DS, FS, GS, TR
    MSR_BITMAP_ADDRESS = 0x2004,
    EPT_POINTER = 0x201a,
    LINK_POINTER = 0x2800,
    PIN_CONTROLS = 0x4000,
    PRIMARY_CONTROLS = 0x4002,
    EXIT_CONTROLS = 0x400c,
    ENTRY_CONTROLS = 0x4012,
    SECONDARY_CONTROLS = 0x401e,
    GUEST_GDTR_LIMIT = 0x4810,
    GUEST_IDTR_LIMIT = 0x4812,
    GUEST_CR0 = 0x6800,
    GUEST_CR3 = 0x6802,
    GUEST_CR4 = 0x6804,
    GUEST_GDTR_BASE = 0x6816,
    GUEST_IDTR_BASE = 0x6818,
    GUEST_DR7 = 0x681a,
    GUEST_RIP = 0x681e,
    GUEST_RFLAGS = 0x6820,
    HOST_CR0 = 0x6c00,
    HOST_CR3 = 0x6c02,
    HOST_CR4 = 0x6c04,
    HOST_GDTR_BASE = 0x6c0c,
    HOST_IDTR_BASE = 0x6c0e,
    HOST_RIP = 0x6c16,
};

// Chapter "Virtual Machine Control Structures", "VM-Execution Control Fields" and those behind it.
enum {
    PRIMARY_HLT = 1 << 7,
    PRIMARY_MSR_BITMAPS = 1 << 28,
    SECONDARY_EPT = 1 << 1,
    EXIT_TO_64_BIT = 1 << 9,
    ENTRY_TO_64_BIT = 1 << 9,
};
#define PRIMARY_SECONDARY (1u << 31)

// Appendix "VMX Capability Reporting Facility": what a control may be is in MSRs.
enum {
    MSR_VMX_BASIC = 0x480,
    MSR_VMX_SECONDARY = 0x48b,
    MSR_VMX_TRUE_PIN = 0x48d,
    MSR_VMX_TRUE_PRIMARY = 0x48e,
    MSR_VMX_TRUE_EXIT = 0x48f,
    MSR_VMX_TRUE_ENTRY = 0x490,
};

#define VMX_CR4 (LONG_CR4 | 0x2000u) // VMXE: in VMX operation it must be 1, in L2 too

// r8: struct shared, rsi: its fields, rdi: how many. L1 and L2 share all registers but rsp.
extern const uint8_t guest_l1_exit[];
__asm__(".pushsection .rodata\n"
        "guest_l1:\n"
        "    mov $0x2020, %eax\n"       // VMX_CR4
        "    mov %rax, %cr4\n"
        "    mov $0x3a, %ecx\n"         // IA32_FEATURE_CONTROL: locked, VMXON outside SMX
        "    mov $5, %eax\n"
        "    xor %edx, %edx\n"
        "    wrmsr\n"
        "    vmxon (%r8)\n"
        "    jbe 4f\n"
        "    vmclear 8(%r8)\n"
        "    jbe 4f\n"
        "    vmptrld 8(%r8)\n"
        "    jbe 4f\n"
        "1:  mov (%rsi), %rax\n"
        "    vmwrite 8(%rsi), %rax\n"
        "    jbe 4f\n"
        "    add $16, %rsi\n"
        "    dec %rdi\n"
        "    jnz 1b\n"
        "    vmlaunch\n"                // returns only where it fails
        "    jmp 4f\n"
        "guest_l1_exit:\n"
        "    xor %eax, %eax\n"
        "    xor %ecx, %ecx\n"
        "    cpuid\n"
        "    mov $0x4402, %eax\n"       // exit reason
        "    vmread %rax, %rbx\n"
        "    cmp $10, %rbx\n"           // CPUID,
        "    je 2f\n"
        "    cmp $18, %rbx\n"           // VMCALL: go on behind it
        "    jne 5f\n"
        "2:  mov $0x440c, %eax\n"       // length of the instruction
        "    vmread %rax, %rcx\n"
        "    mov $0x681e, %eax\n"       // GUEST_RIP
        "    vmread %rax, %rdx\n"
        "    add %rcx, %rdx\n"
        "    vmwrite %rdx, %rax\n"
        "    vmresume\n"
        "4:  mov $0x4400, %eax\n"       // VM-instruction error
        "    vmread %rax, %rbx\n"
        "    bts $63, %rbx\n"
        "5:  mov %rbx, 16(%r8)\n"
        "    out %al, $0x13\n"
        "6:  hlt\n"
        "    jmp 6b\n"
        L2_CODE("vmcall")
        ".popsection\n");

static uint64_t read_msr(int vcpu_fd, uint32_t index)
{
    struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));
    uint64_t value;

    if (!msrs)
        fail("out of memory");
    msrs->nmsrs = 1;
    msrs->entries[0].index = index;
    if (IOCTL(vcpu_fd, KVM_GET_MSRS, msrs) != 1)
        fail("MSR 0x%x cannot be read: is kvm_intel loaded with nested=1?", index);
    value = msrs->entries[0].data;
    free(msrs);
    return value;
}

// What is wanted and what must be: the MSR's low half has the bits that must be 1, its high half
// those that may be.
static uint32_t controls(int vcpu_fd, uint32_t msr, uint32_t wanted)
{
    uint64_t allowed = read_msr(vcpu_fd, msr);
    uint32_t value = wanted | (uint32_t)allowed;

    if (value & ~(uint32_t)(allowed >> 32))
        fail("controls 0x%x of MSR 0x%x: KVM allows only 0x%x", wanted, msr,
             (uint32_t)(allowed >> 32));
    return value;
}

static unsigned int fields_used;

static void put_field(struct shared *shared, uint64_t encoding, uint64_t value)
{
    if ((uint8_t *)&shared->fields[fields_used + 1] > (uint8_t *)shared + PAGE)
        fail("the VMCS has more fields than its page here holds");
    shared->fields[fields_used].encoding = encoding;
    shared->fields[fields_used++].value = value;
}

static void put_controls(struct shared *shared, int vcpu_fd, bool nested_paging)
{
    const uint64_t write_back = 6, four_levels = 3 << 3;
    uint32_t primary = PRIMARY_HLT | PRIMARY_MSR_BITMAPS;

    if (nested_paging)
        primary |= PRIMARY_SECONDARY;
    put_field(shared, PIN_CONTROLS, controls(vcpu_fd, MSR_VMX_TRUE_PIN, 0));
    put_field(shared, PRIMARY_CONTROLS, controls(vcpu_fd, MSR_VMX_TRUE_PRIMARY, primary));
    put_field(shared, EXIT_CONTROLS, controls(vcpu_fd, MSR_VMX_TRUE_EXIT, EXIT_TO_64_BIT));
    put_field(shared, ENTRY_CONTROLS, controls(vcpu_fd, MSR_VMX_TRUE_ENTRY, ENTRY_TO_64_BIT));
    put_field(shared, MSR_BITMAP_ADDRESS, MSR_BITMAP);
    if (!nested_paging)
        return;
    put_field(shared, SECONDARY_CONTROLS, controls(vcpu_fd, MSR_VMX_SECONDARY, SECONDARY_EPT));
    put_field(shared, EPT_POINTER, NESTED_PML4 | write_back | four_levels);
}

static void put_l2_state(struct shared *shared)
{
    enum { CODE_RIGHTS = 0xa09b, DATA_RIGHTS = 0xc093, UNUSABLE = 0x10000, BUSY_TSS = 0x8b };
    static const struct {
        uint16_t selector, limit;
        uint32_t rights;
    } segments[] = {
        {DATA_SELECTOR, 0, DATA_RIGHTS}, {CODE_SELECTOR, 0, CODE_RIGHTS},
        {DATA_SELECTOR, 0, DATA_RIGHTS}, {DATA_SELECTOR, 0, DATA_RIGHTS},
        {DATA_SELECTOR, 0, DATA_RIGHTS}, {DATA_SELECTOR, 0, DATA_RIGHTS},
        {0, 0, UNUSABLE},                {0, 0x67, BUSY_TSS},
    };

    for (unsigned int i = 0; i < sizeof(segments) / sizeof(*segments); i++) {
        bool flat = segments[i].selector;

        put_field(shared, GUEST_ES + 2 * i, segments[i].selector);
        put_field(shared, GUEST_ES_LIMIT + 2 * i, flat ? 0xffffffff : segments[i].limit);
        put_field(shared, GUEST_ES_RIGHTS + 2 * i, segments[i].rights);
        put_field(shared, GUEST_ES_BASE + 2 * i, 0);
    }
    put_field(shared, GUEST_GDTR_BASE, GDT);
    put_field(shared, GUEST_GDTR_LIMIT, GDT_LIMIT);
    put_field(shared, GUEST_IDTR_BASE, IDT);
    put_field(shared, GUEST_IDTR_LIMIT, IDT_LIMIT);
    put_field(shared, GUEST_CR0, LONG_CR0);
    put_field(shared, GUEST_CR3, PML4);
    put_field(shared, GUEST_CR4, VMX_CR4);
    put_field(shared, GUEST_DR7, 0x400);
    put_field(shared, GUEST_RFLAGS, 2);
    put_field(shared, GUEST_RIP, l2_address());
    put_field(shared, LINK_POINTER, UINT64_MAX);
}

// The state in which L1 goes on when L2 exits. Chapter "VM Entries", "Checks on Host Segment and
// Descriptor-Table Registers": CS and TR must not be 0, whatever is behind TR.
static void put_l1_state(struct shared *shared)
{
    enum { TSS_SELECTOR = 0x18 };
    static const uint16_t selectors[] = {DATA_SELECTOR, CODE_SELECTOR, DATA_SELECTOR, DATA_SELECTOR,
                                         DATA_SELECTOR, DATA_SELECTOR, TSS_SELECTOR};

    for (unsigned int i = 0; i < sizeof(selectors) / sizeof(*selectors); i++)
        put_field(shared, HOST_ES + 2 * i, selectors[i]);
    put_field(shared, HOST_GDTR_BASE, GDT);
    put_field(shared, HOST_IDTR_BASE, IDT);
    put_field(shared, HOST_CR0, LONG_CR0);
    put_field(shared, HOST_CR3, PML4);
    put_field(shared, HOST_CR4, VMX_CR4);
    put_field(shared, HOST_RIP, CODE + (uint64_t)(guest_l1_exit - guest_l1));
}

// All that L1 needs for VMX. Fields that are not named are 0, as KVM finds them in the page.
static void write_vmx(uint8_t *memory, int vcpu_fd, bool nested_paging)
{
    struct shared *shared = (struct shared *)(memory + SHARED);
    uint32_t revision = (uint32_t)read_msr(vcpu_fd, MSR_VMX_BASIC) & 0x7fffffff;

    put32(memory, VMXON_REGION, revision);
    put32(memory, VMCS, revision);
    shared->vmxon_region = VMXON_REGION;
    shared->vmcs = VMCS;
    put_controls(shared, vcpu_fd, nested_paging);
    put_l2_state(shared);
    put_l1_state(shared);
}

int main(int argc, char **argv)
{
    const uint64_t read_write_execute = 7, write_back = 6 << 3, large = 0x80;
    struct options options = parse_options(argc, argv);
    int kvm_fd = open_kvm();
    int vm_fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
    uint8_t *memory;
    int vcpu_fd;

    IOCTL(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000);
    memory = create_memory(vm_fd);
    vcpu_fd = create_vcpu(kvm_fd, vm_fd);
    write_nested_tables(memory, read_write_execute | write_back | large);
    write_vmx(memory, vcpu_fd, options.nested_paging);
    run_guests(kvm_fd, vcpu_fd, memory,
               (struct kvm_regs){.r8 = SHARED, .rsi = SHARED + offsetof(struct shared, fields),
                                 .rdi = fields_used},
               &options, SHARED + offsetof(struct shared, last_exit), EXIT_HLT);
    return 0;
}
