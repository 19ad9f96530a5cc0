// SPDX-License-Identifier: GPL-2.0-only
#include "output/split_bar.h"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "samples.h"

namespace exittop {
namespace {

std::string bar_of(const std::vector<double>& amounts, std::size_t width) {
    std::vector<BarPart> parts;
    for (const double amount : amounts) {
        parts.push_back({static_cast<char>('a' + static_cast<int>(parts.size())), amount});
    }
    return share_bar(parts, width);
}

TEST(ShareBar, IsInProportion) {
    struct Case {
        std::vector<double> amounts;
        std::size_t width;
        const char* bar;
    };
    const Case cases[] = {
        {{}, 10, ""},
        {{0, 0}, 10, ""},
        {{1, 1}, 0, ""},
        {{5}, 4, "aaaa"},
        {{1, 1}, 4, "aabb"},
        {{1, 1}, 3, "aab"},
        {{1, 1, 1}, 3, "abc"},
        {{0, 3, 1}, 4, "bbbc"},
        {{46, 52, 2}, 10, "aaaaabbbbb"},  // What is less than half a letter has none.
        {{40, 33, 27}, 10, "aaaabbbccc"},
        {{1e19, 1e19, 1e19}, 6, "aabbcc"},
        {{1, 1e18}, 5, "bbbbb"},
    };
    for (const auto& [amounts, width, bar] : cases) EXPECT_EQ(bar_of(amounts, width), bar);
}

TEST(ShareBar, IsAsWideAsItIsToBeAndInOrder) {
    EXPECT_TRUE(rc::check("width and order", [] {
        const auto numbers =
            *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::arbitrary<std::uint64_t>());
        const std::vector<double> amounts(
            numbers.begin(), numbers.begin() + std::min(std::ssize(numbers), std::ptrdiff_t{20}));
        const auto width = *rc::gen::inRange<std::size_t>(0, 300);
        const std::string bar = bar_of(amounts, width);
        double all = 0.0;
        for (const double amount : amounts) all += amount;
        RC_ASSERT(bar.size() == (all > 0.0 ? width : 0U));
        RC_ASSERT(std::ranges::is_sorted(bar));
        for (std::size_t i = 0; i < amounts.size() && all > 0.0; ++i) {
            const char letter = static_cast<char>('a' + static_cast<int>(i));
            const auto cells = static_cast<double>(std::ranges::count(bar, letter));
            RC_ASSERT(std::abs(cells - amounts[i] / all * static_cast<double>(width)) < 1.0 + 1e-6);
            RC_ASSERT(amounts[i] > 0.0 || cells == 0.0);
        }
    }));
}

TEST(SplitBar, HasTheKnownParts) {
    ExitStats stats = test::make_exits(12, {{1'000, 100}});  // 100 us
    stats.vmm_ns = 20'000;
    stats.polled_ns = 10'000;
    stats.preempted_ns = 10'000;
    stats.halted_ns = 30'000;
    stats.blocked_ns = 20'000;
    struct Case {
        TimeParts known;
        const char* bar;
        const char* legend;
    };
    const Case cases[] = {
        {TimeParts::all(), "KVVPWHHHBB",
         "K kernel, V VMM, P polled, W preempted, H halted, B blocked"},
        {{}, "", ""},
        {{TimePart::halted}, "", ""},
    };
    for (const auto& [known, bar, legend] : cases) {
        EXPECT_EQ(split_bar(stats, known, 10), bar);
        EXPECT_EQ(bar_legend(known), legend);
    }
    EXPECT_EQ(split_bar(ExitStats{}, TimeParts::all(), 10), "");
    // Numbers of unknown parts are 0, their time is in the kernel's rest.
    stats.polled_ns = stats.preempted_ns = stats.blocked_ns = 0;
    EXPECT_EQ(split_bar(stats, {TimePart::vmm, TimePart::halted}, 10), "KKKKKVVHHH");
    EXPECT_EQ(bar_legend({TimePart::vmm, TimePart::halted}), "K kernel, V VMM, H halted");
}

TEST(SplitBar, EachLetterHasAColorOfItsOwn) {
    EXPECT_EQ(paint_bar("KKV ", Color::off), "KKV ");
    EXPECT_EQ(paint_bar("KKV ", Color::on),
              "\x1b[38;5;231;48;5;25mKK\x1b[0m\x1b[38;5;16;48;5;215mV\x1b[0m ");
    EXPECT_EQ(paint_bar("", Color::on), "");
    std::set<std::string> colors;
    std::size_t parts = 1;
    std::string letters(1, guest_letter);
    for (const Field& field : fields()) {
        if (!field.is_time_part()) continue;
        ++parts;
        letters += field.places.letter;
    }
    for (const char letter : letters) {
        const std::string painted = paint_bar(std::string(1, letter), Color::on);
        EXPECT_EQ(painted.front(), '\x1b') << letter;
        colors.insert(painted.substr(0, painted.find('m')));
    }
    EXPECT_EQ(colors.size(), parts);
}

}  // namespace
}  // namespace exittop
