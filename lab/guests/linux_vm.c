// SPDX-License-Identifier: GPL-2.0-only
// linux_vm: boots a Linux kernel in a VM made with nothing but the KVM API.
//
// A whole VMM would not fit the budget of an emulated host: starting one takes longer there than
// the guest's own workload. This loader knows just what a Debian cloud kernel wants: RAM, a command
// line, an initrd, ACPI tables that name the APICs (those kernels read no older tables and would
// fall back to the PIC, tens of thousands of port accesses), and a serial port to print on.
//
// usage: linux_vm -kernel FILE -initrd FILE [-append TEXT] [-m MIB] [-name guest=NAME]
//
// FILE is a bzImage or the vmlinux ELF unpacked from one; the latter saves the decompression.
// The guest ends by a triple fault. Exit status 0: it wrote 0 to the status port before that.
#define _GNU_SOURCE
#include "halted.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

// Where things lie in guest memory. All of it below 640 KiB but the tables the kernel searches for
// between 0xe0000 and 0xfffff, and the initrd, which goes to the top.
enum {
    GDT_AT = 0x500,
    BOOT_PARAMS_AT = 0x7000,
    PAGE_TABLES_AT = 0x9000, // one PML4, one PDPT, four page directories
    COMMAND_LINE_AT = 0x20000,
    LOW_END = 0x9fc00,
    ACPI_AT = 0xe0000,
    HIGH_START = 0x100000,
    STACK_TOP = 0x80000,
};

enum {
    SERIAL_PORT = 0x3f8,
    KEYBOARD_STATUS_PORT = 0x64,
    CMOS_DATA_PORT = 0x71,
    STATUS_PORT = 0x501, // guest_init writes its verdict here
};

enum { CODE_SELECTOR = 0x10, DATA_SELECTOR = 0x18 }; // as the boot protocol asks

struct options {
    const char *kernel;
    const char *initrd;
    const char *append;
    size_t mebibytes;
};

struct file {
    uint8_t *data;
    size_t size;
};

struct vm {
    int kvm;
    int fd;
    int vcpu;
    uint8_t *memory;
    size_t size;
    struct kvm_run *run;
    uint8_t uart[8];
    int status; // -1 until the guest wrote one
};

static struct options parse_options(int argc, char **argv)
{
    struct options options = {.append = "", .mebibytes = 128};
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!value)
            errx(2, "%s needs a value", argv[i]);
        if (!strcmp(argv[i], "-kernel"))
            options.kernel = value;
        else if (!strcmp(argv[i], "-initrd"))
            options.initrd = value;
        else if (!strcmp(argv[i], "-append"))
            options.append = value;
        else if (!strcmp(argv[i], "-m"))
            options.mebibytes = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "-name")) // a name is there to be seen in the command line only
            errx(2, "unknown option %s", argv[i]);
    }
    if (!options.kernel || !options.initrd)
        errx(2, "usage: linux_vm -kernel FILE -initrd FILE [-append TEXT] [-m MIB] [-name NAME]");
    if (options.mebibytes < 64 || options.mebibytes > 2048)
        errx(2, "-m takes 64 to 2048 MiB");
    return options;
}

static struct file map_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0)
        err(1, "%s", path);
    struct file file = {.size = (size_t)info.st_size};
    file.data = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file.data == MAP_FAILED)
        err(1, "mmap %s", path);
    close(fd);
    return file;
}

static int kvm_ioctl(int fd, unsigned long request, const char *name, void *argument)
{
    int result = ioctl(fd, request, argument);
    if (result < 0)
        err(1, "%s", name);
    return result;
}
#define KVM(fd, request, argument) kvm_ioctl(fd, request, #request, (void *)(argument))

static void *guest_range(struct vm *vm, uint64_t at, uint64_t length, const char *what)
{
    if (at > vm->size || length > vm->size - at)
        errx(1, "%s does not fit into the guest's memory; give it more with -m", what);
    return vm->memory + at;
}

// Aligned to a large page: only then can the host, and so the tables KVM makes, use large pages.
static uint8_t *map_memory(size_t size)
{
    const size_t large_page = 2 << 20;
    uint8_t *at = mmap(NULL, size + large_page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        err(1, "mmap of the guest's memory");
    at += -(uintptr_t)at & (large_page - 1);
    madvise(at, size, MADV_HUGEPAGE);
    return at;
}

static struct vm make_vm(size_t size)
{
    struct vm vm = {.size = size, .status = -1};
    vm.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm.kvm < 0)
        err(1, "/dev/kvm");
    vm.fd = KVM(vm.kvm, KVM_CREATE_VM, 0);
    uint64_t identity_map = 0xfffbc000;
    KVM(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    KVM(vm.fd, KVM_SET_TSS_ADDR, 0xfffbd000);
    KVM(vm.fd, KVM_CREATE_IRQCHIP, 0);

    vm.memory = map_memory(size);
    struct kvm_userspace_memory_region region = {
        .memory_size = size,
        .userspace_addr = (uintptr_t)vm.memory,
    };
    KVM(vm.fd, KVM_SET_USER_MEMORY_REGION, &region);

    vm.vcpu = KVM(vm.fd, KVM_CREATE_VCPU, 0);
    int run_size = KVM(vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    vm.run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu, 0);
    if (vm.run == MAP_FAILED)
        err(1, "mmap of the vCPU");
    return vm;
}

// What the host offers, less nested virtualisation, plus what the in-kernel APIC adds: with the
// deadline timer and KVM's clock the guest has no need of a PIT to find out how fast time runs.
static void set_cpuid(struct vm *vm)
{
    enum { ENTRIES = 256, VMX = 1 << 5, SVM = 1 << 2, TSC_DEADLINE = 1 << 24, HT = 1 << 28 };
    const uint32_t hypervisor = 1u << 31;
    struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(struct kvm_cpuid_entry2));
    if (!cpuid)
        err(1, "memory for CPUID");
    cpuid->nent = ENTRIES;
    KVM(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *leaf = &cpuid->entries[i];
        switch (leaf->function) {
        case 1:
            leaf->ebx = (leaf->ebx & 0xffff) | 1 << 16; // APIC id 0, one logical CPU
            leaf->ecx = (leaf->ecx & ~(uint32_t)VMX) | TSC_DEADLINE | hypervisor;
            leaf->edx &= ~(uint32_t)HT;
            break;
        case 0xb:
        case 0x1f:
            leaf->edx = 0; // the APIC id once more
            break;
        case 0x80000001:
            leaf->ecx &= ~(uint32_t)SVM;
            break;
        }
    }
    KVM(vm->vcpu, KVM_SET_CPUID2, cpuid);
    free(cpuid);
}

// --- ACPI: RSDP -> XSDT -> MADT, no more ---

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem[6];
    char table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_tables {
    struct {
        char signature[8];
        uint8_t checksum;
        char oem[6];
        uint8_t revision;
        uint32_t rsdt;
        uint32_t length;
        uint64_t xsdt;
        uint8_t extended_checksum;
        uint8_t reserved[3];
    } __attribute__((packed)) rsdp;
    struct {
        struct acpi_header header;
        uint64_t madt;
    } __attribute__((packed)) xsdt;
    struct {
        struct acpi_header header;
        uint32_t local_apic;
        uint32_t flags;
        struct {
            uint8_t type, length, processor, apic;
            uint32_t flags;
        } __attribute__((packed)) cpu;
        struct {
            uint8_t type, length, id, reserved;
            uint32_t address, first_interrupt;
        } __attribute__((packed)) io_apic;
    } __attribute__((packed)) madt;
} __attribute__((packed));

static uint8_t checksum(const void *data, size_t length)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += ((const uint8_t *)data)[i];
    return (uint8_t)-sum;
}

static struct acpi_header table_header(const char *signature, size_t length)
{
    struct acpi_header header = {
        .length = (uint32_t)length, .revision = 1, .oem = "EXITT", .table = "EXITTOP",
        .oem_revision = 1, .creator_revision = 1,
    };
    // These fill their fields: no room for a terminating null byte.
    memcpy(header.signature, signature, sizeof(header.signature));
    memcpy(header.creator, "XTOP", sizeof(header.creator));
    return header;
}

static void write_acpi(struct vm *vm)
{
    struct acpi_tables tables = {
        .rsdp = {.oem = "EXITT", .revision = 2, .length = sizeof(tables.rsdp),
                 .xsdt = ACPI_AT + offsetof(struct acpi_tables, xsdt)},
        .xsdt = {.header = table_header("XSDT", sizeof(tables.xsdt)),
                 .madt = ACPI_AT + offsetof(struct acpi_tables, madt)},
        .madt = {.header = table_header("APIC", sizeof(tables.madt)),
                 .local_apic = 0xfee00000, .flags = 1,
                 .cpu = {.type = 0, .length = sizeof(tables.madt.cpu), .flags = 1},
                 .io_apic = {.type = 1, .length = sizeof(tables.madt.io_apic), .id = 1,
                             .address = 0xfec00000}},
    };
    memcpy(tables.rsdp.signature, "RSD PTR ", sizeof(tables.rsdp.signature));
    tables.rsdp.checksum = checksum(&tables.rsdp, 20); // the part that revision 1 had
    tables.rsdp.extended_checksum = checksum(&tables.rsdp, sizeof(tables.rsdp));
    tables.xsdt.header.checksum = checksum(&tables.xsdt, sizeof(tables.xsdt));
    tables.madt.header.checksum = checksum(&tables.madt, sizeof(tables.madt));
    memcpy(guest_range(vm, ACPI_AT, sizeof(tables), "ACPI"), &tables, sizeof(tables));
}

// --- the kernel ---

static uint64_t load_bzimage(struct vm *vm, struct file image, struct setup_header *header)
{
    memcpy(header, image.data + offsetof(struct boot_params, hdr), sizeof(*header));
    if (header->header != 0x53726448 || !(header->xloadflags & XLF_KERNEL_64))
        errx(1, "the kernel is neither an ELF file nor a 64-bit bzImage");
    size_t setup_size = (size_t)(header->setup_sects + 1) * 512;
    if (setup_size >= image.size)
        errx(1, "the kernel image is cut short");
    size_t size = image.size - setup_size;
    memcpy(guest_range(vm, HIGH_START, size, "the kernel"), image.data + setup_size, size);
    return HIGH_START + 0x200; // the 64-bit entry of the boot protocol
}

// Whether the host is AMD's and KVM makes the guest's page tables itself.
static bool svm_shadows_page_tables(void)
{
    char npt = 'Y';
    int fd = open("/sys/module/kvm_amd/parameters/npt", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false; // no such module: the host is Intel's
    if (read(fd, &npt, 1) != 1)
        err(1, "kvm_amd's parameter npt");
    close(fd);
    return npt == 'N' || npt == '0';
}

// For a host that QEMU 9.1 or later emulates: it checks the intercept of CR0 whichever control
// register is read. KVM lifts that one as soon as the guest's CR0 is the one it runs with, and the
// guest then reads the CR3 of the shadow page tables for its own. With the cache disabled the two
// differ for good: KVM runs the guest with caches on all the same, and Linux leaves the bit alone.
static void disable_cache_in_cr0(uint8_t *code, size_t size)
{
    // mov $CR0_STATE, %eax; mov %rax, %cr0: once, near the start, on all kernels of the lab.
    static const uint8_t set_cr0[] = {0xb8, 0x33, 0x00, 0x05, 0x80, 0x0f, 0x22, 0xc0};
    enum { CR0_HIGH_BYTE = 4, CACHE_DISABLE = 1 << (30 - 24) };
    uint8_t *found = memmem(code, size, set_cr0, sizeof(set_cr0));
    if (found)
        found[CR0_HIGH_BYTE] |= CACHE_DISABLE;
}

static uint64_t load_elf(struct vm *vm, struct file image, struct setup_header *header)
{
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)image.data;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(image.data + elf->e_phoff);
    if (elf->e_phoff + elf->e_phnum * sizeof(*segments) > image.size)
        errx(1, "the kernel image is cut short");
    for (int i = 0; i < elf->e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        if (segment->p_type != PT_LOAD)
            continue;
        if (segment->p_offset + segment->p_filesz > image.size)
            errx(1, "the kernel image is cut short");
        void *to = guest_range(vm, segment->p_paddr, segment->p_memsz, "the kernel");
        memcpy(to, image.data + segment->p_offset, segment->p_filesz);
        if (i == 0 && svm_shadows_page_tables())
            disable_cache_in_cr0(to, segment->p_filesz);
    }
    header->boot_flag = 0xaa55;
    header->header = 0x53726448;
    header->version = 0x020f;
    header->kernel_alignment = 0x200000;
    return elf->e_entry;
}

static void add_ram(struct boot_params *params, uint64_t from, uint64_t to)
{
    params->e820_table[params->e820_entries++] =
        (struct boot_e820_entry){.addr = from, .size = to - from, .type = 1};
}

// Returns where to start.
static uint64_t load_linux(struct vm *vm, const struct options *options)
{
    struct file kernel = map_file(options->kernel);
    struct file initrd = map_file(options->initrd);
    if (kernel.size < sizeof(struct boot_params))
        errx(1, "%s: no kernel", options->kernel);
    struct boot_params *params = guest_range(vm, BOOT_PARAMS_AT, sizeof(*params), "boot_params");
    bool is_elf = !memcmp(kernel.data, ELFMAG, SELFMAG);
    uint64_t entry = (is_elf ? load_elf : load_bzimage)(vm, kernel, &params->hdr);

    size_t length = strlen(options->append) + 1;
    if (length > 2048)
        errx(2, "-append is longer than a kernel takes");
    memcpy(guest_range(vm, COMMAND_LINE_AT, length, "-append"), options->append, length);
    uint64_t initrd_at = (vm->size - initrd.size) & ~(uint64_t)0xfff;
    memcpy(guest_range(vm, initrd_at, initrd.size, "the initrd"), initrd.data, initrd.size);

    params->hdr.type_of_loader = 0xff;
    params->hdr.cmd_line_ptr = COMMAND_LINE_AT;
    params->hdr.cmdline_size = 2047;
    params->hdr.ramdisk_image = (uint32_t)initrd_at;
    params->hdr.ramdisk_size = (uint32_t)initrd.size;
    add_ram(params, 0, LOW_END);
    add_ram(params, HIGH_START, vm->size);
    munmap(kernel.data, kernel.size);
    munmap(initrd.data, initrd.size);
    return entry;
}

// --- the CPU's first state: 64-bit mode, four GiB mapped one to one ---

static void write_page_tables(struct vm *vm)
{
    enum { PRESENT = 1, WRITABLE = 2, LARGE = 0x80, ENTRIES = 512, DIRECTORIES = 4 };
    uint64_t *table = guest_range(vm, PAGE_TABLES_AT, (2 + DIRECTORIES) * 4096, "page tables");
    table[0] = (PAGE_TABLES_AT + 4096) | PRESENT | WRITABLE;
    for (uint64_t i = 0; i < DIRECTORIES; i++)
        table[ENTRIES + i] = (PAGE_TABLES_AT + (2 + i) * 4096) | PRESENT | WRITABLE;
    for (uint64_t i = 0; i < DIRECTORIES * ENTRIES; i++)
        table[2 * ENTRIES + i] = i << 21 | PRESENT | WRITABLE | LARGE;
}

static void set_registers(struct vm *vm, uint64_t entry)
{
    enum { CR0_PE = 1, CR0_ET = 1 << 4, CR4_PAE = 1 << 5, EFER_LME = 1 << 8, EFER_LMA = 1 << 10 };
    const uint32_t cr0_pg = 1u << 31;
    const uint64_t gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    memcpy(guest_range(vm, GDT_AT, sizeof(gdt), "the GDT"), gdt, sizeof(gdt));
    write_page_tables(vm);

    struct kvm_sregs sregs;
    KVM(vm->vcpu, KVM_GET_SREGS, &sregs);
    struct kvm_segment data = {.limit = 0xffffffff, .selector = DATA_SELECTOR, .type = 3,
                               .present = 1, .db = 1, .s = 1, .g = 1};
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cs = data;
    sregs.cs.selector = CODE_SELECTOR;
    sregs.cs.type = 11;
    sregs.cs.db = 0;
    sregs.cs.l = 1;
    sregs.gdt.base = GDT_AT;
    sregs.gdt.limit = sizeof(gdt) - 1;
    sregs.cr0 = CR0_PE | CR0_ET | cr0_pg;
    sregs.cr3 = PAGE_TABLES_AT;
    sregs.cr4 = CR4_PAE;
    sregs.efer = EFER_LME | EFER_LMA;
    KVM(vm->vcpu, KVM_SET_SREGS, &sregs);

    struct kvm_regs regs = {
        .rip = entry, .rsi = BOOT_PARAMS_AT, .rsp = STACK_TOP, .rflags = 2,
    };
    KVM(vm->vcpu, KVM_SET_REGS, &regs);
}

// --- devices ---

enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };
enum { LCR_DLAB = 0x80, MCR_LOOP = 0x10, LSR_EMPTY = 0x60, IIR_NONE = 1 };

// Enough of a 16450 for the kernel's driver to take it for one and for its console, which polls.
static uint8_t read_uart(const struct vm *vm, unsigned int reg)
{
    switch (reg) {
    case UART_IIR: return IIR_NONE;
    case UART_LSR: return LSR_EMPTY;
    case UART_MSR: return vm->uart[UART_MCR] & MCR_LOOP ? 0x90 : 0xb0; // the driver's own test
    case UART_DATA: return 0;
    default: return vm->uart[reg];
    }
}

static void write_uart(struct vm *vm, unsigned int reg, uint8_t value)
{
    if (vm->uart[UART_LCR] & LCR_DLAB && reg <= UART_IER)
        return; // the speed
    vm->uart[reg] = value;
    if (reg == UART_DATA && write(STDOUT_FILENO, &value, 1) != 1)
        err(1, "writing the guest's output");
}

static uint8_t read_port(const struct vm *vm, uint16_t port)
{
    if (port >= SERIAL_PORT && port < SERIAL_PORT + 8)
        return read_uart(vm, port - SERIAL_PORT);
    // A clock that is never between two seconds: the kernel waits for that, and the wait costs
    // thousands of exits. A keyboard controller must not seem to be there (0xff).
    if (port == CMOS_DATA_PORT)
        return 0;
    return 0xff;
}

static void write_port(struct vm *vm, uint16_t port, uint8_t value)
{
    if (port >= SERIAL_PORT && port < SERIAL_PORT + 8)
        write_uart(vm, port - SERIAL_PORT, value);
    else if (port == STATUS_PORT)
        vm->status = value;
}

static void handle_io(struct vm *vm)
{
    uint8_t *data = (uint8_t *)vm->run + vm->run->io.data_offset;
    size_t size = vm->run->io.size;
    for (uint32_t i = 0; i < vm->run->io.count; i++, data += size) {
        if (vm->run->io.direction == KVM_EXIT_IO_OUT)
            write_port(vm, vm->run->io.port, data[0]);
        else {
            memset(data, 0xff, size);
            data[0] = read_port(vm, vm->run->io.port);
        }
    }
}

static void ignore_signal(int number)
{
    (void)number;
}

// KVM_RUN comes back once a second, also from a HLT that nothing ends.
static void interrupt_each_second(void)
{
    const struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
    const struct itimerval second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
    if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &second, NULL) < 0)
        err(1, "setting a timer");
}

static void require_progress(const struct vm *vm)
{
    uint64_t rip;
    if (halted_with_interrupts_off(vm->vcpu, &rip)) // this guest gets no NMIs
        errx(1, "the guest halted with interrupts off at RIP %#llx", (unsigned long long)rip);
}

static void run_until_shutdown(struct vm *vm)
{
    interrupt_each_second();
    for (;;) {
        if (ioctl(vm->vcpu, KVM_RUN, 0) < 0) {
            if (errno != EINTR && errno != EAGAIN)
                err(1, "KVM_RUN");
            require_progress(vm);
            continue;
        }
        switch (vm->run->exit_reason) {
        case KVM_EXIT_IO:
            handle_io(vm);
            break;
        case KVM_EXIT_MMIO:
            if (!vm->run->mmio.is_write)
                memset(vm->run->mmio.data, 0xff, sizeof(vm->run->mmio.data));
            break;
        case KVM_EXIT_SHUTDOWN:
            return;
        case KVM_EXIT_FAIL_ENTRY:
            errx(1, "VM entry failed, hardware reason %#llx",
                 (unsigned long long)vm->run->fail_entry.hardware_entry_failure_reason);
        case KVM_EXIT_INTERNAL_ERROR:
            errx(1, "KVM internal error %u", vm->run->internal.suberror);
        default:
            errx(1, "unexpected userspace exit %u", vm->run->exit_reason);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct vm vm = make_vm(options.mebibytes << 20);
    set_cpuid(&vm);
    write_acpi(&vm);
    set_registers(&vm, load_linux(&vm, &options));
    printf("vm=0 vcpu=0 tid=%ld pid=%d\n", (long)syscall(SYS_gettid), getpid());
    fflush(stdout);
    run_until_shutdown(&vm);
    if (vm.status != 0)
        errx(1, vm.status < 0 ? "the guest ended before its workload did"
                              : "the guest's workload failed");
    return 0;
}
