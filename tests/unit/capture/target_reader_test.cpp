// SPDX-License-Identifier: GPL-2.0-only
#include "capture/target_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace exittop {
namespace {

struct Decoded {
    Isa isa;
    std::uint32_t code;
    std::uint8_t kind;
    std::uint64_t value;
    const char* text;
};

// The values are what the program keeps of real registers.
TEST(TargetReader, DecodesWhatTheProgramKeeps) {
    const Decoded cases[] = {
        {Isa::svm, 0x13, EXITTOP_TARGET_FIXED, 0, "cr3 write"},
        {Isa::svm, 0x04, EXITTOP_TARGET_FIXED, 0, "cr4 read"},
        {Isa::svm, 0x37, EXITTOP_TARGET_FIXED, 0, "dr7 write"},
        {Isa::svm, 0x46, EXITTOP_TARGET_FIXED, 0, "#UD"},
        {Isa::svm, 0x65, EXITTOP_TARGET_FIXED, 0, "cr0 write"},
        {Isa::svm, 0x401, EXITTOP_TARGET_FIXED, 0, "apic 0x300 write"},
        {Isa::svm, 0x7c, EXITTOP_TARGET_MSR_SVM, 0x1000006e0, "0x6e0 write"},
        {Isa::svm, 0x7c, EXITTOP_TARGET_MSR_SVM, 0xc0000080, "0xc0000080 read"},
        {Isa::svm, 0x7c, EXITTOP_TARGET_MSR, 0x6e0, "0x6e0"},
        {Isa::vmx, 31, EXITTOP_TARGET_MSR, 0x10, "0x10 read"},
        {Isa::vmx, 32, EXITTOP_TARGET_MSR, 0x830, "0x830 write"},
        {Isa::svm, 0x7b, EXITTOP_TARGET_IO_SVM, 0x3f80010, "port 0x3f8 out 1"},
        {Isa::svm, 0x7b, EXITTOP_TARGET_IO_SVM, 0x6080041, "port 0x608 in 4"},
        {Isa::vmx, 30, EXITTOP_TARGET_IO_VMX, 0x3f80000, "port 0x3f8 out 1"},
        {Isa::vmx, 30, EXITTOP_TARGET_IO_VMX, 0x608000b, "port 0x608 in 4"},
        {Isa::svm, 0x400, EXITTOP_TARGET_NPF,
         EXITTOP_TARGET_ADDRESS(0xfee000b0, PF_RESERVED | PF_WRITE), "0xfee000b0 write"},
        {Isa::vmx, 48, EXITTOP_TARGET_EPT_VIOLATION, EXITTOP_TARGET_ADDRESS(0x7f3a1000, PF_FETCH),
         "page 0x7f3a1000 fetch"},
        {Isa::svm, 0x4e, EXITTOP_TARGET_PF_SVM, 6, "#PF write user"},
        {Isa::vmx, 0, EXITTOP_TARGET_EXCEPTION_VMX,
         PF_VECTOR | EXITTOP_HAS_ERROR_CODE | 3 << EXITTOP_ERROR_CODE_SHIFT,
         "#PF write kernel protection"},
        {Isa::vmx, 0, EXITTOP_TARGET_EXCEPTION_VMX, 14, "#PF"},
        {Isa::vmx, 0, EXITTOP_TARGET_EXCEPTION_VMX, 2, "NMI"},
        {Isa::vmx, 28, EXITTOP_TARGET_CR_VMX, 0x03, "cr3 write"},
        {Isa::vmx, 28, EXITTOP_TARGET_CR_VMX, 0x13, "cr3 read"},
        {Isa::vmx, 28, EXITTOP_TARGET_CR_VMX, 0x20, "cr0 clts"},
        {Isa::vmx, 29, EXITTOP_TARGET_DR_VMX, 0x07, "dr7 write"},
        {Isa::vmx, 29, EXITTOP_TARGET_DR_VMX, 0x16, "dr6 read"},
        {Isa::vmx, 44, EXITTOP_TARGET_APIC_VMX, 0x10b0, "apic 0xb0 write"},
        {Isa::vmx, 44, EXITTOP_TARGET_APIC_VMX, 0x3020, "apic 0x20"},
        {Isa::vmx, 56, EXITTOP_TARGET_APIC_VMX, 0x300, "apic 0x300 write"},
        {Isa::vmx, 45, EXITTOP_TARGET_APIC_VMX, 0x31, "vector 0x31"},
        {Isa::svm, 0x402, EXITTOP_TARGET_AVIC, 0x1000000d0, "apic 0xd0 write"},
        {Isa::vmx, 1, EXITTOP_TARGET_VECTOR_VMX, 0xec, "vector 0xec"},
        {Isa::svm, 0x72, EXITTOP_TARGET_CPUID, 0x40000000, "leaf 0x40000000"},
        {Isa::vmx, 10, EXITTOP_TARGET_CPUID, 0x300000004, "leaf 0x4.2"},
        {Isa::vmx, 10, EXITTOP_TARGET_CPUID, 0x100000007, "leaf 0x7.0"},
        {Isa::vmx, 18, EXITTOP_TARGET_HYPERCALL, 5, "hypercall kvm 5"},
        {Isa::vmx, 18, EXITTOP_TARGET_HYPERCALL,
         0x5c | std::uint64_t{EXITTOP_HYPERCALL_HYPERV} << EXITTOP_HYPERCALL_SHIFT,
         "hypercall hyperv 0x5c"},
        {Isa::svm, 0x403, EXITTOP_TARGET_GHCB, 0x80000001, "ghcb 0x80000001"},
        {Isa::svm, 0x78, EXITTOP_TARGET_RIP_SVM, EXITTOP_TARGET_VALUE(0xffffffff81073744),
         "rip 0xffffffff81073744"},
        {Isa::svm, 0x78, EXITTOP_TARGET_RIP_SVM, 0x401000, "rip 0x401000"},
    };
    for (const Decoded& one : cases) {
        EXPECT_EQ(target_text(one.isa, one.code, one.kind, one.value), one.text);
    }
}

class Area : public testing::Test {
protected:
    Area() {
        kinds_.by_index[0x7c] = EXITTOP_TARGET_MSR_SVM;
        area_->used = 1;
    }
    void add(unsigned cell, std::uint64_t value, std::uint64_t count, std::uint64_t ns) {
        const auto place = std::uint16_t(area_->used++);
        target_entry& entry = area_->entries[place];
        entry = {value | std::uint64_t{cell} << EXITTOP_TARGET_BITS,
                 count,
                 ns,
                 0,
                 area_->reasons[cell].first,
                 0};
        area_->reasons[cell].first = place;
    }
    Targets read(unsigned cell) {
        return read_targets({area_.get(), &kinds_, 64}, Isa::svm, cell, 0x7c);
    }

    std::unique_ptr<target_area> area_ = std::make_unique<target_area>();
    TargetKinds kinds_;
};

TEST_F(Area, HoldsTheTargetsOfEachReasonApart) {
    add(3, 0x1000006e0, 5, 50);
    add(4, 0x10, 9, 90);
    add(3, 0x10, 1, 10);
    area_->reasons[3].other = 2;
    area_->reasons[3].other_ns = 20;
    area_->reasons[3].unknown = 1;
    area_->reasons[3].unknown_ns = 7;
    area_->reasons[3].why = EXITTOP_WHY_HIDDEN;
    const Targets want{{{{1, 10}, "0x10 read"}, {{5, 50}, "0x6e0 write"}},
                       {2, 20},
                       {1, 7},
                       "the guest's registers are encrypted"};
    EXPECT_EQ(read(3), want);
}

TEST_F(Area, ThatIsCorruptEndsWhereItLeadsOut) {
    add(1, 0x10, 1, 10);
    area_->entries[1].next_of_reason = 60000;
    EXPECT_EQ(sum_of(read(1)).count, 1U);
    area_->entries[1].next_of_reason = 1;
    EXPECT_LE(read(1).known.size(), 1U) << "a circle has an end";
}

}  // namespace
}  // namespace exittop
