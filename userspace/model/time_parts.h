// SPDX-License-Identifier: GPL-2.0-only
// The parts that the time of exits is told into, and which of them are known.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace exittop {

/// A part of the exits' time that is measured. Parts are disjoint; what is left of the time is the
/// kernel's.
enum class TimePart : std::uint8_t {
    vmm,        ///< On a CPU, outside KVM_RUN.
    polled,     ///< On a CPU, in KVM's halt polling.
    preempted,  ///< Runnable; it waited for a CPU.
    halted,     ///< Asleep in HLT.
    blocked,    ///< Asleep anywhere else: a VMM that waits for a disk, a fault that waits for swap.
};

/// A set of parts, such as those that a kernel can tell.
class TimeParts {
public:
    constexpr TimeParts() = default;  ///< None.
    constexpr TimeParts(std::initializer_list<TimePart> parts) {
        for (const TimePart part : parts) add(part);
    }
    static constexpr TimeParts all() {
        return {TimePart::vmm, TimePart::polled, TimePart::preempted, TimePart::halted,
                TimePart::blocked};
    }

    constexpr void add(TimePart part) {
        bits_ = static_cast<std::uint8_t>(bits_ | 1U << static_cast<unsigned>(part));
    }
    [[nodiscard]] constexpr bool contains(TimePart part) const {
        return (bits_ >> static_cast<unsigned>(part) & 1U) != 0;
    }
    [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }

    /// What is in both.
    constexpr TimeParts operator&(TimeParts other) const {
        TimeParts both;
        both.bits_ = bits_ & other.bits_;
        return both;
    }
    constexpr TimeParts& operator&=(TimeParts other) { return *this = *this & other; }
    /// What is not in the other.
    constexpr TimeParts operator-(TimeParts other) const {
        TimeParts left;
        left.bits_ = static_cast<std::uint8_t>(bits_ & ~other.bits_);
        return left;
    }
    constexpr bool operator==(const TimeParts&) const = default;

private:
    std::uint8_t bits_ = 0;
};

/// Those in which the vCPU was on no CPU.
inline constexpr TimeParts off_cpu_parts = {TimePart::preempted, TimePart::halted,
                                            TimePart::blocked};
/// Whether the time on a CPU can be told, as far as one of them is known.
constexpr bool knows_on_cpu(TimeParts known) { return !(known & off_cpu_parts).empty(); }

}  // namespace exittop
