// SPDX-License-Identifier: GPL-2.0-only
// What exits were about: which MSR, port, address, leaf. A target is known by its text, which is a
// contract with scripts ("0x6e0 write"), so that files of other versions of exittop keep theirs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace exittop {

enum class TargetAccess : std::uint8_t { read, write, fetch, unknown };

/// "0x6e0 write"; "0x6e0" where the access is unknown.
std::string msr_target(std::uint32_t msr, TargetAccess access);
/// "port 0x3f8 out 1"; `out`: the guest writes. `size` in bytes.
std::string port_target(std::uint16_t port, bool out, unsigned size);
/// "page 0x7f3a1000 write" of memory, "0xfee000b0 write" of MMIO, whose address is exact.
std::string page_target(std::uint64_t address, TargetAccess access);
std::string mmio_target(std::uint64_t address, TargetAccess access);
/// "cr3 write", "dr7 read"; `access` also "clts", "lmsw".
std::string register_target(std::string_view bank, unsigned number, std::string_view access);
/// "#PF", "#UD"; a vector without a name is "vector 0xf0".
std::string exception_target(std::uint8_t vector);
/// "#PF write user": of a page that is not present; "#PF write user protection" of one that is. The
/// bits of the error code are those of SDM vol. 3, 4.7.
std::string page_fault_target(std::uint32_t error_code);
/// "vector 0xec"
std::string vector_target(std::uint8_t vector);
/// "leaf 0x1"; "leaf 0x4.2" of leaves with subleaves, whose number is decimal.
std::string leaf_target(std::uint32_t leaf);
std::string leaf_target(std::uint32_t leaf, std::uint32_t subleaf);
/// "hypercall kvm 5", "hypercall hyperv 0x5c", "hypercall xen 29"; `interface` is whose call it is.
std::string hypercall_target(std::string_view interface, std::uint64_t number);
/// "apic 0xb0 write": offset of the register in the APIC's page.
std::string apic_target(std::uint32_t offset, TargetAccess access);
/// "ghcb 0x80000001"
std::string ghcb_target(std::uint32_t code);
/// "rip 0xffffffff81073744"
std::string rip_target(std::uint64_t address);

/// Which reasons are counted by target (--targets).
struct TargetChoice {
    bool rip = false;  ///< All, and those without a target of their own by where the guest was.
    std::vector<std::string> reasons{};  ///< Names or numbers as users wrote them; empty: all.
    bool operator==(const TargetChoice&) const = default;
};
inline constexpr std::uint64_t default_target_memory = 64U << 20;

/// Exits and their time, in nanoseconds, all of them completed.
struct TargetSum {
    std::uint64_t count = 0;
    std::uint64_t time_ns = 0;
    TargetSum& operator+=(const TargetSum& other);
    bool operator==(const TargetSum&) const = default;
};

struct TargetStats : TargetSum {
    std::string target;  ///< Raw bytes where a file had it: sanitise before printing.
    bool operator==(const TargetStats&) const = default;
};

/// The exits of one reason by target: known + other + unknown are its completed exits.
struct Targets {
    std::vector<TargetStats> known{};  ///< Ascending by target, no duplicates.
    TargetSum other{};                 ///< Of targets beyond those that are kept.
    TargetSum unknown{};               ///< The target is not known,
    std::string why{};                 ///< for this reason; raw bytes, as above.

    void add(std::string target, TargetSum sum);
    /// For `known` that were appended in any order: orders them and adds up those of one target.
    void order();
    /// Makes exits of `all` that are in none of them unknown, for this reason if there is no other.
    void fill_up(TargetSum all, std::string_view reason);
    Targets& operator+=(const Targets& other_targets);
    bool operator==(const Targets&) const = default;
};
TargetSum sum_of(const Targets& targets);
/// Whether they can be of so many exits of a reason. An exit is counted when it begins and by
/// target when it ends: of an interval, each vCPU's first one may be among the targets alone.
bool can_be_of(const Targets& targets, std::uint64_t exits);
/// What came since an earlier state. A target that made room for others meanwhile took its earlier
/// counts to `other`: these are not what came since.
Targets targets_since(const Targets& later, const Targets& earlier);
/// The known ones, the most expensive first; by count where no time is known.
std::vector<TargetStats> dearest_first(const Targets& targets);

}  // namespace exittop
