// SPDX-License-Identifier: GPL-2.0-only
// What keys, clicks and samples make of the live view's state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "live_draw.h"
#include "live_samples.h"

namespace exittop::test {
namespace {

using testing::ElementsAre;

constexpr const char* web = "4242.1";
constexpr const char* db = "5151.1";
constexpr const char* evil = "977.1";

const std::vector<std::string>& rows(const State& state) { return list_of(state).rows; }

std::string selected(const State& state) { return rows(state)[list_of(state).place]; }

State next_second(State state, std::uint64_t second,
                  const std::vector<MadeVm>& vms = made_vms()) {
    const std::string in_full = state.screen == Screen::vms ? "" : state.vm;
    return apply(std::move(state), made_sample(vms, second, in_full));
}

TEST(LiveState, rates_are_those_of_the_last_interval) {
    const State state = made_state();
    const VmTrack& track = state.tracks.at(web);
    EXPECT_DOUBLE_EQ(track.rate, 2.0 * (420 + 460 + 13'200 + 96 + 4));
    EXPECT_NEAR(track.guest, 0.6, 1e-9);
    EXPECT_EQ(track.trail.size(), 3U);
    EXPECT_NEAR(state.cpu_share, 0.004, 1e-9);
}

TEST(LiveState, trails_have_a_value_per_second_at_any_interval) {
    Trail trail;
    for (int i = 0; i < 4; ++i) trail.add(i, 0.25);
    ASSERT_EQ(trail.size(), 1U);
    EXPECT_DOUBLE_EQ(trail.at(0), 1.5);
    trail.add(7.0, 10.0);
    EXPECT_EQ(trail.size(), 11U);
    EXPECT_DOUBLE_EQ(trail.at(0), 7.0);
    EXPECT_DOUBLE_EQ(trail.at(10), 1.5);
    // A timer that is late by a hundredth: after 100 samples, a second more than samples.
    Trail late;
    for (int i = 0; i < 50; ++i) late.add(1.0, 1.01);
    EXPECT_EQ(late.size(), 50U);
    for (int i = 0; i < 3600; ++i) late.add(2.0, 0.97);
    EXPECT_EQ(late.size(), Trail::length);
    late.add(5.0, 1e9);
    EXPECT_DOUBLE_EQ(late.at(Trail::length - 1), 5.0);
    late.add(6.0, 1.0);
    EXPECT_DOUBLE_EQ(late.at(0), 6.0);
}

TEST(LiveState, rows_are_sorted_by_rate_and_reversed) {
    State state = made_state();
    EXPECT_THAT(rows(state), ElementsAre(web, db, evil));
    state = type(std::move(state), "r");
    EXPECT_THAT(rows(state), ElementsAre(evil, db, web));
}

TEST(LiveState, a_short_burst_does_not_move_rows) {
    State state = made_state();
    auto vms = made_vms();
    vms[1].rates[1].per_second = 2'200 + 4 * 2'000;  // in the fourth second: 8,000 more
    state = apply(std::move(state), made_sample(made_vms(), 4));
    EXPECT_THAT(rows(state), ElementsAre(web, db, evil));
    Sample burst = made_sample(made_vms(), 5);
    burst.snapshot.vms[1].sums[1].count += 30'000;
    state = apply(std::move(state), std::move(burst));
    EXPECT_GT(state.tracks.at(db).rate, state.tracks.at(web).rate);
    EXPECT_THAT(rows(state), ElementsAre(web, db, evil));
}

TEST(LiveState, the_selected_row_stays_selected_wherever_it_moves) {
    State state = press(made_state(), KeyCode::down);
    ASSERT_EQ(selected(state), db);
    state = type(std::move(state), "r");
    EXPECT_EQ(selected(state), db);
    state = press(press(std::move(state), KeyCode::home), KeyCode::up);
    ASSERT_EQ(selected(state), evil);
    state = type(std::move(state), "r");
    EXPECT_EQ(selected(state), evil);
    EXPECT_EQ(list_of(state).place, 2U);
}

TEST(LiveState, going_down_and_back_keeps_the_selection) {
    State state = press(press(made_state(), KeyCode::down), KeyCode::enter);
    EXPECT_EQ(state.screen, Screen::reasons);
    EXPECT_EQ(state.vm, db);
    state = next_second(std::move(state), 4);
    state = press(press(std::move(state), KeyCode::down), KeyCode::enter);
    EXPECT_EQ(state.screen, Screen::histogram);
    EXPECT_EQ(state.reason, "1.120");
    EXPECT_THAT(rows(state), ElementsAre("all", "0", "1", "2", "3"));
    state = press(std::move(state), KeyCode::escape);
    EXPECT_EQ(state.screen, Screen::reasons);
    EXPECT_EQ(selected(state), "1.120");
    state = press(std::move(state), KeyCode::tab);
    EXPECT_EQ(state.screen, Screen::vcpus);
    state = press(std::move(state), KeyCode::escape);
    EXPECT_EQ(state.screen, Screen::vms);
    EXPECT_EQ(selected(state), db);
}

TEST(LiveState, filter_while_typing_and_back) {
    State state = type(made_state(), "/WEB");
    EXPECT_THAT(rows(state), ElementsAre(web));
    EXPECT_THAT(rows(press(state, KeyCode::backspace)), ElementsAre(web));
    EXPECT_EQ(rows(press(state, KeyCode::escape)).size(), 3U);
    state = press(std::move(state), KeyCode::enter);
    EXPECT_EQ(state.overlay, Overlay::none);
    EXPECT_THAT(rows(state), ElementsAre(web));
    // Letters are keys again.
    EXPECT_TRUE(type(state, "q").quit);
    EXPECT_EQ(rows(press(std::move(state), KeyCode::escape)).size(), 3U);
}

TEST(LiveState, filter_of_reasons) {
    State state = next_second(press(made_state(), KeyCode::enter), 4);
    state = press(type(std::move(state), "/npf"), KeyCode::enter);
    EXPECT_THAT(rows(state), ElementsAre("1.1024"));
}

TEST(LiveState, sort_picker) {
    State state = press(type(made_state(), "s"), KeyCode::down);
    state = press(type(std::move(state), "jj"), KeyCode::enter);
    EXPECT_EQ(list_of(state).sort, "vcpus");
    EXPECT_THAT(rows(state), ElementsAre(db, web, evil));
    EXPECT_EQ(list_of(press(press(press(state, KeyCode::sort), KeyCode::up), KeyCode::escape)).sort,
              "vcpus");
}

TEST(LiveState, every_sort_key_sorts) {
    for (const KeyCode screen : {KeyCode::home, KeyCode::enter, KeyCode::tab}) {
        State state = made_state();
        if (screen != KeyCode::home) {
            state = next_second(press(std::move(state), KeyCode::enter), 4);
        }
        if (screen == KeyCode::tab) state = press(std::move(state), KeyCode::tab);
        const std::size_t count = rows(state).size();
        for (std::size_t i = 0; i < sort_keys(state.screen).size(); ++i) {
            state = press(press(type(std::move(state), "s"), KeyCode::down), KeyCode::enter);
            EXPECT_EQ(rows(state).size(), count);
        }
        EXPECT_EQ(list_of(state).sort, sort_keys(state.screen).back().key);
    }
}

TEST(LiveState, pause_holds_all_and_the_next_sample_spans_it) {
    State state = type(made_state(), " ");
    state = next_second(std::move(state), 7);
    EXPECT_DOUBLE_EQ(state.duration_s, 3.0);
    state = next_second(type(std::move(state), " "), 8);
    EXPECT_DOUBLE_EQ(state.interval_s, 5.0);
    EXPECT_DOUBLE_EQ(state.tracks.at(evil).rate, 13.0);
}

TEST(LiveState, frozen_order_takes_new_rows_at_its_end) {
    State state = type(made_state(), "f");
    auto vms = made_vms();
    vms[0].rates.clear();
    vms.push_back({"new", 7, 1, {{0x72, 90'000, 1'000}}});
    for (std::uint64_t second = 4; second < 20; ++second) {
        state = next_second(std::move(state), second, vms);
    }
    EXPECT_THAT(rows(state), ElementsAre(web, db, evil, "7.1"));
    EXPECT_EQ(rows(type(std::move(state), "f")).front(), "7.1");
}

TEST(LiveState, ended_vms_fade_or_are_kept) {
    const auto run_on = [](State state) {
        for (std::uint64_t second = 4; second < 16; ++second) {
            Sample sample = made_sample(made_vms(), 3);
            sample.snapshot.duration_s = static_cast<double>(second);
            sample.snapshot.vms[0].ended = true;
            state = apply(std::move(state), std::move(sample));
            if (second == 8) {
                EXPECT_EQ(rows(state).size(), 3U);
            }
        }
        return state;
    };
    EXPECT_EQ(rows(run_on(made_state())).size(), 2U);
    EXPECT_EQ(rows(run_on(type(made_state(), "e"))).size(), 3U);
}

TEST(LiveState, sums_from_zero) {
    State state = next_second(press(made_state(), KeyCode::enter), 4);
    state = next_second(type(std::move(state), "zc"), 6);
    const Shown shown = shown_reasons(state, *opened(state));
    EXPECT_DOUBLE_EQ(shown.duration_s, 2.0);
    EXPECT_EQ(shown.exits[0].count, 2U * 2U * 421U);
    EXPECT_EQ(shown.exits[0].histogram.total(), 2U * 2U * 421U);
}

TEST(LiveState, interval_and_requests) {
    State state = type(made_state(), "++");
    EXPECT_DOUBLE_EQ(state.delay_s, 5.0);
    EXPECT_DOUBLE_EQ(type(std::move(state), "----------").delay_s, 0.25);
    state = type(made_state(), "wm");
    EXPECT_TRUE(state.write && state.measure);
    state = apply(std::move(state), Note{"cannot", false});
    EXPECT_FALSE(state.write || state.measure);
    EXPECT_EQ(state.note, "cannot");
}

TEST(LiveState, mouse_selects_and_scrolls) {
    State state = made_state();
    const std::size_t first = layout_of(state).list_row;
    state = apply(std::move(state), Mouse{MouseKind::click, first + 1});
    EXPECT_EQ(selected(state), db);
    state = apply(std::move(state), Mouse{MouseKind::click, 0});
    state = apply(std::move(state), Mouse{MouseKind::click, first + 9});
    EXPECT_EQ(selected(state), db);
    EXPECT_EQ(selected(apply(state, Mouse{MouseKind::wheel_down, 0})), evil);
    EXPECT_EQ(selected(apply(state, Mouse{MouseKind::wheel_up, 0})), web);
}

TEST(LiveState, scrolls_as_far_as_needed) {
    std::vector<MadeVm> vms;
    for (std::uint32_t i = 0; i < 100; ++i) {
        vms.push_back({"vm" + std::to_string(100 + i), 1000 + i, 1, {{0x72, 5, 1'000}}});
    }
    State state = apply(apply(State{}, Resize{24, 80}), made_sample(vms, 1));
    const std::size_t visible = layout_of(state).list_rows;
    state = press(std::move(state), KeyCode::page_down);
    EXPECT_EQ(list_of(state).place, visible - 1);
    EXPECT_EQ(list_of(state).top, 0U);
    state = press(std::move(state), KeyCode::end);
    EXPECT_EQ(list_of(state).top, 100 - visible);
    EXPECT_EQ(selected(state), "1099.1");  // equal rates: by name
    state = apply(std::move(state), Resize{8, 80});
    EXPECT_EQ(selected(state), "1099.1");
    EXPECT_EQ(list_of(state).top, 100 - layout_of(state).list_rows);
}

TEST(LiveState, a_recorded_baseline_is_found_by_name_or_alone) {
    Snapshot run;
    run.duration_s = 10;
    run.vms = {make_web_vm()};
    Baseline one = baseline_from(run, "run");
    ASSERT_NE(one.find("web01"), nullptr);
    EXPECT_NEAR(one.find("web01")->guest, (4.2 + 9.1) / 2 / 10, 1e-9);
    EXPECT_NE(one.find("other"), nullptr);
    run.vms.push_back(make_ended_vm());
    EXPECT_EQ(baseline_from(run, "run").find("other"), nullptr);
}

}  // namespace
}  // namespace exittop::test
