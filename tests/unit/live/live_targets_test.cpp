// SPDX-License-Identifier: GPL-2.0-only
// What the exits of a reason were about: when that is counted, from when on, and what is shown.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "live/live_draw.h"
#include "live_samples.h"

namespace exittop::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* web = "4242.1";
const std::string timer = "=port 0x608 in 4";
const std::string serial = "=port 0x3f8 out 1";

const std::vector<std::string>& rows(const State& state) { return list_of(state).rows; }
std::string text(const State& state) { return plain_text(draw(state, Glyphs::ascii)); }

/// web01's reasons after five seconds.
State reasons_state() {
    State state = press(made_state(30, 100), KeyCode::enter);
    for (const std::uint64_t second : {4U, 5U}) {
        state = apply(std::move(state), made_sample(made_vms(), second, web));
    }
    return state;
}

State switched(State state, double at_s = 5.0) {
    const std::string wanted = wants_targets(state);
    return apply(std::move(state),
                 TargetsSwitched{wanted, at_s, wanted.empty() ? 0 : 1U << 20, {}});
}

TargetSum sum_of_row(const State& state, std::string_view target) {
    for (const TargetStats& stats : shown_targets(state).targets.known) {
        if (stats.target == target) return stats;
    }
    return {};
}

TEST(LiveTargets, are_wanted_while_a_reason_is_open) {
    State state = reasons_state();
    EXPECT_EQ(wants_targets(state), "");
    state = press(std::move(state), KeyCode::enter);
    EXPECT_EQ(state.screen, Screen::targets);
    EXPECT_EQ(wants_targets(state), web);
    state = press(std::move(state), KeyCode::tab);
    EXPECT_EQ(state.screen, Screen::histogram);
    EXPECT_EQ(wants_targets(state), web) << "they would begin anew";
    state = press(std::move(state), KeyCode::escape);
    EXPECT_EQ(state.screen, Screen::reasons);
    EXPECT_EQ(wants_targets(state), "");
    // A vCPU's times are looked at without them.
    state = press(press(std::move(state), KeyCode::tab), KeyCode::enter);
    EXPECT_EQ(state.screen, Screen::histogram);
    EXPECT_EQ(wants_targets(state), "");
    state = press(std::move(state), KeyCode::tab);
    EXPECT_EQ(state.screen, Screen::targets);
    EXPECT_EQ(wants_targets(state), web);
    state = press(std::move(state), KeyCode::escape);
    EXPECT_EQ(state.screen, Screen::vcpus);
    EXPECT_EQ(wants_targets(state), "");
}

TEST(LiveTargets, of_all_vms_are_not_asked_for) {
    State state = reasons_state();
    state.chosen_targets = TargetChoice{};
    EXPECT_TRUE(counts_targets(state));
    EXPECT_EQ(wants_targets(press(std::move(state), KeyCode::enter)), "");
}

TEST(LiveTargets, have_rates_of_the_last_interval) {
    State state = switched(press(reasons_state(), KeyCode::enter));
    state = apply(std::move(state), targets_sample(5, 6));
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 2U * 11'000U);
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 1.0);
    state = apply(std::move(state), targets_sample(5, 9));
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 3U * 2U * 11'000U);
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 3.0);
    EXPECT_THAT(text(state), HasSubstr("22,000"));
    // Of the reason's, other and unknown included.
    EXPECT_EQ(sum_of(shown_targets(state).targets).count,
              3U * 2U * (11'000U + 1'100U + 700U + 300U + 60U + 24U + 12U + 3U + 2U));
}

TEST(LiveTargets, are_counted_from_the_switch_on) {
    // The switch came in the middle between two samples.
    State state = switched(press(reasons_state(), KeyCode::enter), 5.5);
    state = apply(std::move(state), targets_sample(5, 6));
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 0.5);
    state = type(std::move(state), "c");
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 0.5);
    state = apply(std::move(state), targets_sample(5, 8));
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 2.5);
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 3U * 2U * 11'000U);
}

TEST(LiveTargets, that_were_counted_before_begin_at_the_opening) {
    State state = reasons_state();
    state.chosen_targets = TargetChoice{};
    state = apply(std::move(state), targets_sample(0, 6));
    state = type(press(std::move(state), KeyCode::enter), "c");
    EXPECT_TRUE(rows(state).empty());
    state = apply(std::move(state), targets_sample(0, 8));
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 2U * 2U * 11'000U);
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 2.0);
}

TEST(LiveTargets, of_a_reason_opened_after_another_are_its_own) {
    State state = switched(press(reasons_state(), KeyCode::enter));
    state = apply(std::move(state), targets_sample(5, 6));
    // Back and in again at once: nothing was switched meanwhile.
    state = press(press(state, KeyCode::escape), KeyCode::enter);
    EXPECT_TRUE(rows(state).empty());
    State later = type(apply(state, targets_sample(5, 7)), "c");
    EXPECT_EQ(sum_of_row(later, "port 0x608 in 4").count, 2U * 11'000U);
    // With a switch off and on, what is counted begins at 0 again.
    state = switched(press(state, KeyCode::escape));
    EXPECT_EQ(state.targets_vm, "");
    state = switched(press(std::move(state), KeyCode::enter), 6.0);
    state = type(apply(std::move(state), targets_sample(6, 7)), "c");
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 2U * 11'000U);
}

TEST(LiveTargets, are_sorted_by_time_and_the_sums_come_last) {
    State state = targets_state(30, 100);
    ASSERT_EQ(rows(state).size(), 9U);
    EXPECT_EQ(rows(state)[0], timer);
    EXPECT_EQ(rows(state)[1], serial);
    EXPECT_EQ(rows(state)[7], other_targets);
    EXPECT_EQ(rows(state)[8], unknown_targets);
    state = type(std::move(state), "r");
    EXPECT_EQ(rows(state)[6], timer);
    EXPECT_EQ(rows(state)[8], unknown_targets);
    state = type(std::move(state), "r");
    for (const char* sort : {"rate", "mean", "name", "time"}) {
        list_of(state).sort = sort;
        for (const bool sums : {false, true}) {
            state.cumulative = sums;
            state = apply(std::move(state), Resize{30, 100});
            EXPECT_EQ(rows(state)[0] == serial, std::string_view(sort) == "mean") << sort;
            EXPECT_EQ(rows(state).back(), unknown_targets);
        }
    }
}

TEST(LiveTargets, a_short_burst_does_not_move_them) {
    State state = targets_state(30, 100);
    Sample burst = targets_sample(5, 8);
    Targets& targets = *burst.overview.in_full->vcpus[0].exits[2].targets;
    targets.add("port 0x70 out 1", {40'000, 320'000'000});
    state = apply(std::move(state), std::move(burst));
    EXPECT_GT(sum_of_row(state, "port 0x70 out 1").time_ns,
              sum_of_row(state, "port 0x608 in 4").time_ns);
    EXPECT_EQ(rows(state)[0], timer);
}

TEST(LiveTargets, set_to_zero_stay_in_the_list) {
    State state = type(targets_state(30, 100), "cz");
    EXPECT_EQ(rows(state).size(), 9U);
    EXPECT_EQ(sum_of(shown_targets(state).targets).count, 0U);
    state = apply(std::move(state), targets_sample(5, 8));
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 2U * 11'000U);
    EXPECT_THAT(text(state), HasSubstr("sum of 1 s"));
}

TEST(LiveTargets, filter) {
    State state = press(type(targets_state(30, 100), "/OUT 1"), KeyCode::enter);
    EXPECT_THAT(rows(state), ElementsAre(serial, "=port 0x70 out 1"));
    state = press(type(std::move(state), "/x"), KeyCode::enter);
    EXPECT_THAT(text(state), HasSubstr("Nothing matches the filter"));
    // It is not kept for the next reason's.
    state = press(press(std::move(state), KeyCode::escape), KeyCode::enter);
    EXPECT_EQ(list_of(state).filter, "");
}

TEST(LiveTargets, a_pause_holds_them) {
    State state = type(targets_state(30, 100), " ");
    state = apply(std::move(state), targets_sample(5, 9));
    EXPECT_DOUBLE_EQ(state.targets.now_s, 7.0);
    state = apply(type(std::move(state), " "), targets_sample(5, 10));
    EXPECT_DOUBLE_EQ(shown_targets(state).duration_s, 3.0);
    EXPECT_EQ(sum_of_row(state, "port 0x608 in 4").count, 3U * 2U * 11'000U);
}

TEST(LiveTargets, do_not_make_other_screens_add_them_up) {
    const State state = targets_state(30, 100);
    for (const Vcpu& vcpu : opened(state)->full->vcpus) {
        for (const ExitStats& stats : vcpu.exits) EXPECT_FALSE(stats.targets);
    }
}

TEST(LiveTargets, the_header_says_what_they_cost) {
    EXPECT_THAT(text(targets_state(24, 80)),
                HasSubstr("targets on: adds overhead, 33.0 MiB of kernel memory"));
    State state = switched(press(targets_state(24, 80), KeyCode::escape));
    EXPECT_EQ(text(state).find("targets on"), std::string::npos);
    state.chosen_targets = TargetChoice{};
    EXPECT_THAT(text(state), HasSubstr("targets on"));
}

TEST(LiveTargets, an_empty_list_says_why) {
    const State opened = press(reasons_state(), KeyCode::enter);
    EXPECT_THAT(text(opened), HasSubstr("What comes from now on is shown with the next sample."));
    EXPECT_THAT(text(type(opened, " ")), HasSubstr("Paused: "));

    // The page faults, of which none comes.
    State idle = press(press(reasons_state(), KeyCode::end), KeyCode::enter);
    ASSERT_EQ(idle.reason, "1.1024");
    idle = apply(switched(std::move(idle)), targets_sample(5, 6));
    EXPECT_THAT(text(idle), HasSubstr("No exit of this reason since the screen was opened."));

    // hlt has no targets, but the first interval does not tell.
    State halt = press(press(reasons_state(), KeyCode::down), KeyCode::enter);
    ASSERT_EQ(halt.reason, "1.120");
    halt = apply(switched(std::move(halt), 5.5), targets_sample(5, 6));
    EXPECT_THAT(text(halt), HasSubstr("No exit of this reason"));
    halt = apply(std::move(halt), targets_sample(5, 7));
    EXPECT_THAT(text(halt),
                HasSubstr("hlt has no target of its own: --targets rip says where the guest was."));
    halt.chosen_targets = TargetChoice{.reasons = {"npf"}};
    EXPECT_THAT(text(halt), HasSubstr("hlt is not among the reasons that --targets names."));
}

TEST(LiveTargets, that_cannot_be_counted_say_so_as_long_as_they_are_open) {
    State state =
        apply(press(reasons_state(), KeyCode::enter),
              TargetsSwitched{.error = "targets would take 80 MiB\x1b[2J: --target-memory"});
    EXPECT_FALSE(counts_targets(state));
    EXPECT_THAT(text(state), HasSubstr("targets would take 80 MiB\\x1b[2J: --target-memory"));
    EXPECT_THAT(text(state), HasSubstr("time per exit")) << "the histogram is there all the same";
    state = apply(std::move(state), made_sample(made_vms(), 6, web));
    EXPECT_THAT(text(state), HasSubstr("targets would take 80 MiB"));
    state = press(std::move(state), KeyCode::escape);
    EXPECT_EQ(text(state).find("would take"), std::string::npos);
    state = press(std::move(state), KeyCode::enter);
    EXPECT_EQ(text(state).find("would take"), std::string::npos) << "it is tried again";
    // One that comes when it is no longer open is a note.
    state = apply(press(std::move(state), KeyCode::escape), TargetsSwitched{.error = "stuck"});
    EXPECT_EQ(state.note, "stuck");
}

TEST(LiveTargets, scroll_with_the_histogram_below) {
    State state = targets_state(24, 80);
    const LiveLayout layout = layout_of(state);
    EXPECT_EQ(layout.list_rows, 8U);
    EXPECT_EQ(layout.below, 9U);
    state = press(apply(std::move(state), Resize{16, 80}), KeyCode::end);
    EXPECT_EQ(layout_of(state).list_rows, 5U);
    EXPECT_EQ(list_of(state).top, 4U);
    EXPECT_THAT(text(state), HasSubstr(">"));
    EXPECT_THAT(text(state), HasSubstr("unknown (string I/O)"));
    // As many where there are none, so that the histogram stays where it is.
    EXPECT_EQ(layout_of(press(reasons_state(), KeyCode::enter)).list_rows, 5U);
}

}  // namespace
}  // namespace exittop::test
