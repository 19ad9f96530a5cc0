// SPDX-License-Identifier: GPL-2.0-only
#include "output/target_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "samples.h"

namespace exittop {
namespace {

std::vector<std::string> labels_of(const Targets& targets) {
    std::vector<std::string> labels;
    for (const TargetLine& line : target_lines(targets, Isa::vmx, 32)) labels.push_back(line.label);
    return labels;
}

TEST(TargetText, TheRestIsOneLine) {
    Targets targets;
    for (std::uint32_t i = 0; i < 11; ++i) targets.add(msr_target(i, TargetAccess::read), {1, 9});
    EXPECT_EQ(labels_of(targets).size(), 11U) << "a line for others would be as long";
    targets.add("0xc0000080 write", {1, 3});
    EXPECT_EQ(labels_of(targets).back(), "others (2)");
    targets.other = {2, 4};
    EXPECT_EQ(labels_of(targets).back(), "others (3 or more)");
    targets.unknown = {1, 1};
    EXPECT_EQ(labels_of(targets).back(), "unknown");
    EXPECT_EQ(labels_of({{{{1, 1}, "a"}}, {2, 2}, {}, {}}),
              (std::vector<std::string>{"a", "others"}));
    EXPECT_TRUE(labels_of({{}, {}, {7, 7}, "they have none"}).empty());
}

TEST(TargetText, SaysOnceWhyTargetsAreUnknown) {
    const Snapshot snapshot = test::make_snapshot_with_targets();
    EXPECT_EQ(unknown_lines(exits_by_reason(snapshot.vms[0]), Isa::vmx),
              (std::vector<std::string>{
                  "unknown targets: KVM does not tell which interrupt it was (EXTERNAL_INTERRUPT)",
                  "unknown targets: it ended before it was read (CPUID)"}));
    EXPECT_EQ(unknown_lines(exits_by_reason(snapshot.vms[1]), Isa::vmx),
              (std::vector<std::string>{"unknown targets: it's \\x1b[2J<i> (CPUID)"}));
}

// Whatever there is, the lines have all of it, unless nothing of it is known.
TEST(TargetText, LinesAddUp) {
    EXPECT_TRUE(
        rc::check("sums", [](const std::vector<std::pair<std::uint16_t, std::uint16_t>>& all,
                             std::uint16_t other, std::uint16_t unknown) {
            Targets targets;
            targets.add("0x10 read", {1, 1});
            for (const auto& [msr, count] : all) {
                targets.add(msr_target(msr % 40, TargetAccess::write), {count, 3U * count});
            }
            targets.other = {other, 2U * other};
            targets.unknown = {unknown, 5U * unknown};
            TargetSum sum;
            const std::vector<TargetLine> lines = target_lines(targets, Isa::vmx, 32);
            for (const TargetLine& line : lines) sum += line.sum;
            RC_ASSERT(sum == sum_of(targets));
            RC_ASSERT(lines.size() <= most_targets + 2);
        }));
}

}  // namespace
}  // namespace exittop
