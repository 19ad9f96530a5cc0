// SPDX-License-Identifier: GPL-2.0-only
// How keys, clicks and samples change the live view's state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "live/live_draw.h"
#include "live_samples.h"
#include "model/fields.h"

namespace exittop::test {
namespace {

using testing::ElementsAre;

constexpr const char* web = "4242.1";
constexpr const char* db = "5151.1";
constexpr const char* evil = "977.1";

const std::vector<std::string>& rows(const State& state) { return list_of(state).rows; }

std::string selected(const State& state) { return rows(state)[list_of(state).place]; }

State next_second(State state, std::uint64_t second, const std::vector<MadeVm>& vms = made_vms()) {
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
    burst.overview.vms[1].exits[1].count += 30'000;
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
    EXPECT_EQ(state.screen, Screen::targets);
    EXPECT_EQ(state.reason, "1.120");
    state = press(std::move(state), KeyCode::tab);
    EXPECT_EQ(state.screen, Screen::histogram);
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
    // Letters act as keys again.
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
    state = press(type(std::move(state), "jjj"), KeyCode::enter);
    EXPECT_EQ(list_of(state).sort, "vcpus");
    EXPECT_THAT(rows(state), ElementsAre(db, web, evil));
    EXPECT_EQ(list_of(press(press(press(state, KeyCode::sort), KeyCode::up), KeyCode::escape)).sort,
              "vcpus");
}

TEST(LiveState, sorts_by_what_waited_for_a_cpu) {
    std::vector<MadeVm> vms = made_vms();
    vms[2].rates[0].preempted_ns = 900;
    vms[1].rates[0].preempted_ns = 300'000;
    State state = apply(State{}, Resize{24, 100});
    for (std::uint64_t second = 1; second <= 3; ++second) {
        state = next_second(std::move(state), second, vms);
    }
    EXPECT_NEAR(state.tracks.at(db).waits, 4 * 120 * 300e-6, 1e-9);
    EXPECT_NEAR(state.tracks.at(evil).waits, 12 * 900e-9, 1e-9);
    const auto by_wait = [](State sorted) {
        list_of(sorted).sort = "wait";
        return apply(std::move(sorted), Resize{24, 100});
    };
    EXPECT_THAT(rows(by_wait(state)), ElementsAre(db, web, evil));

    state = press(press(made_state(), KeyCode::enter), KeyCode::tab);
    Sample sample = made_sample(made_vms(), 4, web);
    sample.overview.in_full->vcpus[1].exits[0].preempted_ns += 1;
    state = by_wait(apply(std::move(state), std::move(sample)));
    EXPECT_THAT(rows(state), ElementsAre("1", "0"));
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

// ---- A VM is opened between two samples that are ten seconds apart

double per_second(const Shown& shown) {
    return static_cast<double>(sum_of(shown.exits).count) / shown.duration_s;
}

/// What the loop does when the user opened a VM at that time.
State detail(State state, std::size_t vm, std::uint64_t second) {
    const Detail taken{made_vm(made_vms()[vm], second), static_cast<double>(second)};
    return apply(std::move(state), taken);
}

/// Samples after 10 and 20 s; web01 is opened at 29 s.
State just_opened() {
    State state = apply(State{}, Resize{30, 110});
    for (const unsigned second : {10U, 20U}) state = next_second(std::move(state), second);
    return detail(press(std::move(state), KeyCode::enter), 0, 29);
}

/// Everything shown of web01, whose load is constant, stays the same.
void expect_steady(const State& state) {
    SCOPED_TRACE(state.duration_s);
    const VmTrack& track = state.tracks.at(web);
    const double rate = 2.0 * (420 + 460 + 13'200 + 96 + 4);
    EXPECT_DOUBLE_EQ(track.rate, rate);
    EXPECT_DOUBLE_EQ(per_second(shown_reasons(state, track)), rate);
    for (const std::uint32_t vcpu : {0U, 1U}) {
        EXPECT_DOUBLE_EQ(per_second(shown_vcpu(state, track, vcpu)), rate / 2);
    }
}

TEST(LiveState, an_opened_vm_has_right_rates_at_once_and_in_each_sample) {
    State state = just_opened();
    expect_steady(state);
    EXPECT_EQ(shown_reasons(state, *opened(state)).distributions, Since::start);
    EXPECT_EQ(shown_vcpu(state, *opened(state), 0).distributions, Since::start);
    state = next_second(std::move(state), 30);
    expect_steady(state);
    // Of the vCPUs this is the one second since it was opened; of the VM there is no sample then.
    EXPECT_DOUBLE_EQ(shown_vcpu(state, *opened(state), 0).duration_s, 1.0);
    EXPECT_EQ(shown_vcpu(state, *opened(state), 0).distributions, Since::interval);
    EXPECT_EQ(shown_reasons(state, *opened(state)).distributions, Since::start);
    state = next_second(std::move(state), 40);
    expect_steady(state);
    const Shown shown = shown_reasons(state, *opened(state));
    EXPECT_EQ(shown.distributions, Since::interval);
    for (const ExitStats& stats : shown.exits) EXPECT_EQ(stats.histogram.total(), stats.count);
}

TEST(LiveState, reasons_of_an_opened_vm_are_those_of_its_line_where_the_load_changes) {
    State state = just_opened();
    Sample sample = made_sample(made_vms(), 30, web);
    Vm burst = *sample.overview.in_full;
    burst.vcpus[1].exits[0].count += 50'000;
    add_vm(sample, burst, true);
    state = apply(std::move(state), std::move(sample));
    const VmTrack& track = *opened(state);
    EXPECT_GT(track.rate, 33'000.0);
    EXPECT_DOUBLE_EQ(per_second(shown_reasons(state, track)), track.rate);
}

TEST(LiveState, a_reason_that_came_after_the_sample_waits_for_the_next) {
    State state = just_opened();
    state.tracks.at(web).full.reset();  // As if there was but an overview of it again.
    Detail newer{made_vm(made_vms()[0], 29), 29.0};
    newer.vm.vcpus[0].exits.insert(newer.vm.vcpus[0].exits.begin(), make_exits(0x60, {{100, 9}}));
    state = apply(std::move(state), newer);
    const VmTrack& track = *opened(state);
    EXPECT_EQ(shown_reasons(state, track).exits.size(), 4U);
    EXPECT_DOUBLE_EQ(per_second(shown_reasons(state, track)), track.rate);
}

TEST(LiveState, a_vm_opened_right_before_a_sample_tells_no_rates_of_so_short_a_time) {
    State state = just_opened();
    state.tracks.at(web).taken_s = 29.9999;
    state = next_second(std::move(state), 30);
    EXPECT_FALSE(opened(state)->before);
    expect_steady(state);
}

TEST(LiveState, a_vm_that_came_later_has_mean_rates_of_its_own_time) {
    State state = apply(State{}, Resize{30, 110});
    state = apply(std::move(state), made_sample({made_vms()[2]}, 10));
    Sample with_web = made_sample(made_vms(), 20);
    add_vm(with_web, made_vm(made_vms()[0], 10));  // It began at 10 s.
    state = press(apply(std::move(state), std::move(with_web)), KeyCode::home);
    state = press(std::move(state), KeyCode::enter);
    ASSERT_EQ(state.vm, web);
    state = apply(std::move(state), Detail{made_vm(made_vms()[0], 19), 29.0});
    expect_steady(state);
}

TEST(LiveState, a_baseline_of_that_time_is_right) {
    for (const bool at_once : {true, false}) {
        State state = just_opened();
        if (at_once) state = type(std::move(state), "b");
        state = next_second(std::move(state), 30);
        if (!at_once) state = type(std::move(state), "b");
        for (const unsigned second : {40U, 50U}) state = next_second(std::move(state), second);
        ASSERT_TRUE(state.baseline);
        const ExitStats sum = sum_of(state.baseline->vms.at("web01").exits);
        EXPECT_DOUBLE_EQ(static_cast<double>(sum.count) / state.baseline->duration_s,
                         opened(state)->rate);
        const std::string text = plain_text(draw(state, Glyphs::ascii));
        EXPECT_NE(text.find("1.00x"), text.npos) << text;
        EXPECT_EQ(text.find("0.10x"), text.npos) << text;
    }
}

TEST(LiveState, to_another_vm_and_back) {
    State state = press(press(just_opened(), KeyCode::escape), KeyCode::down);
    state = detail(press(std::move(state), KeyCode::enter), 1, 29);
    ASSERT_EQ(state.vm, db);
    state = next_second(std::move(state), 30);
    EXPECT_FALSE(state.tracks.at(web).before);
    state = press(press(press(std::move(state), KeyCode::escape), KeyCode::up), KeyCode::enter);
    state = detail(std::move(state), 0, 33);
    ASSERT_EQ(state.vm, web);
    expect_steady(state);
    state = next_second(std::move(state), 40);
    expect_steady(state);
    EXPECT_DOUBLE_EQ(shown_vcpu(state, *opened(state), 1).duration_s, 7.0);
    // What the newest sample has in full is not mixed with what is newer.
    state = press(press(std::move(state), KeyCode::escape), KeyCode::enter);
    state = detail(std::move(state), 0, 44);
    EXPECT_DOUBLE_EQ(opened(state)->taken_s, 40.0);
    expect_steady(state);
    expect_steady(next_second(std::move(state), 50));
}

TEST(LiveState, a_vm_opened_in_a_pause) {
    State state = apply(State{}, Resize{30, 110});
    for (const unsigned second : {10U, 20U}) state = next_second(std::move(state), second);
    state = press(type(std::move(state), " "), KeyCode::enter);
    state = detail(next_second(std::move(state), 30), 0, 35);
    expect_steady(state);
    state = detail(std::move(state), 0, 45);  // Opened again: a pause holds all.
    EXPECT_DOUBLE_EQ(opened(state)->taken_s, 35.0);
    state = next_second(type(std::move(state), " "), 50);
    EXPECT_DOUBLE_EQ(state.interval_s, 30.0);
    expect_steady(state);
    expect_steady(next_second(std::move(state), 60));
}

TEST(LiveState, sums_of_an_opened_vm_have_their_own_times) {
    // Zero before it was opened: what its vCPUs had then is not known.
    State state = apply(State{}, Resize{30, 110});
    for (const unsigned second : {10U, 20U}) state = next_second(std::move(state), second);
    state = detail(press(type(std::move(state), "zc"), KeyCode::enter), 0, 29);
    EXPECT_EQ(sum_of(shown_reasons(state, *opened(state)).exits).count, 0U);
    state = next_second(std::move(state), 30);
    expect_steady(state);
    EXPECT_DOUBLE_EQ(shown_reasons(state, *opened(state)).duration_s, 10.0);
    EXPECT_EQ(shown_reasons(state, *opened(state)).distributions, Since::start);
    EXPECT_DOUBLE_EQ(shown_vcpu(state, *opened(state), 0).duration_s, 30.0);
    EXPECT_EQ(shown_vcpu(state, *opened(state), 0).distributions, Since::start);
    const std::string vcpus = plain_text(draw(press(state, KeyCode::tab), Glyphs::ascii));
    EXPECT_NE(vcpus.find("sum of 30"), vcpus.npos) << vcpus;

    // Zero right after.
    state = next_second(type(just_opened(), "zc"), 30);
    expect_steady(state);
    EXPECT_DOUBLE_EQ(shown_vcpu(state, *opened(state), 0).duration_s, 1.0);
    EXPECT_EQ(shown_vcpu(state, *opened(state), 0).distributions, Since::zero);
    EXPECT_EQ(shown_reasons(state, *opened(state)).distributions, Since::zero);
}

TEST(LiveState, the_histogram_says_of_which_time_it_is) {
    const auto text = [](const State& state) { return plain_text(draw(state, Glyphs::ascii)); };
    State state = press(press(just_opened(), KeyCode::enter), KeyCode::tab);
    ASSERT_EQ(state.screen, Screen::histogram);
    EXPECT_NE(text(state).find("all vCPUs: time per exit, since the start"), std::string::npos);
    state = press(next_second(std::move(state), 30), KeyCode::down);
    EXPECT_NE(text(state).find("vCPU 0: time per exit, in the last interval"), std::string::npos);
    state = press(next_second(std::move(state), 40), KeyCode::up);
    EXPECT_NE(text(state).find("all vCPUs: time per exit, in the last interval"),
              std::string::npos);
    EXPECT_NE(text(type(std::move(state), "c")).find("time per exit, since zero"),
              std::string::npos);
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
            sample.overview.duration_s = static_cast<double>(second);
            sample.overview.vms[0].ended = true;
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

/// The host after so many seconds, on which web01 ended after three; `gone`: it is forgotten.
Sample ended_sample(std::uint64_t second, const std::string& in_full, bool gone = false) {
    Sample sample = made_sample(made_vms(), second, in_full);
    Vm ended = made_vm(made_vms()[0], 3);
    ended.ended = true;
    add_vm(sample, ended, in_full == web);
    if (gone) sample.overview.vms.erase(sample.overview.vms.begin());
    return sample;
}

TEST(LiveState, an_opened_vm_that_ended_stays_until_one_goes_back) {
    State state = press(made_state(), KeyCode::enter);
    for (std::uint64_t second = 4; second < 90; ++second) {
        state = apply(std::move(state), ended_sample(second, web, second > 70));
        ASSERT_NE(opened(state), nullptr) << second;
        EXPECT_TRUE(opened(state)->vm.ended);
        EXPECT_DOUBLE_EQ(opened(state)->rate, 0.0);
        EXPECT_FALSE(rows(state).empty());
    }
    EXPECT_NE(plain_text(draw(state, Glyphs::ascii)).find(", ended)"), std::string::npos);
    // Back in the list it fades as others do.
    state = press(std::move(state), KeyCode::escape);
    EXPECT_THAT(rows(state), testing::Contains(web));
    for (std::uint64_t second = 90; second < 99; ++second) {
        state = apply(std::move(state), ended_sample(second, "", true));
        EXPECT_THAT(rows(state), testing::Contains(web)) << second;
    }
    for (std::uint64_t second = 99; second < 102; ++second) {
        state = apply(std::move(state), ended_sample(second, "", true));
    }
    EXPECT_THAT(rows(state), testing::Not(testing::Contains(web)));
    EXPECT_FALSE(state.tracks.contains(web));
}

TEST(LiveState, a_vm_that_was_opened_once_fades_as_others) {
    State state = press(press(made_state(), KeyCode::enter), KeyCode::escape);
    for (std::uint64_t second = 4; second < 16; ++second) {
        state = apply(std::move(state), ended_sample(second, ""));
    }
    EXPECT_FALSE(state.tracks.contains(web));
    EXPECT_TRUE(state.faded.contains(web));
    state = apply(std::move(state), ended_sample(16, "", true));
    EXPECT_TRUE(state.faded.empty());
}

TEST(LiveState, vms_that_come_and_go_leave_nothing) {
    State state = made_state();
    for (std::uint32_t second = 4; second < 500; ++second) {
        Sample sample = made_sample(made_vms(), second);
        for (std::uint32_t begun = second > 60 ? second - 60 : 4; begun <= second; ++begun) {
            Vm vm = made_vm({"short", 10'000 + begun, 1, {{0x72, 5, 1'000}}}, 1);
            vm.ended = begun < second;
            add_vm(sample, vm);
        }
        state = apply(std::move(state), std::move(sample));
        if (second % 50 == 0) {  // One is looked at now and then.
            state = press(press(std::move(state), KeyCode::end), KeyCode::enter);
            state = press(std::move(state), KeyCode::escape);
        }
        ASSERT_LE(state.tracks.size() + state.faded.size(), 3U + 61U + 11U);
    }
}

Sample silent_sample(std::uint64_t second, bool there = true) {
    Sample sample = made_sample(made_vms(), second);
    if (!there) return sample;
    Vm silent = made_vm({"asleep", 6060, 2, {}}, second);
    silent.id = "6060.0";
    silent.silent = true;
    add_vm(sample, silent);
    return sample;
}

TEST(LiveState, an_opened_vm_without_exits_leads_to_the_same_one_with_exits) {
    const auto woken = [](std::uint64_t second, const std::string& in_full) {
        auto vms = made_vms();
        vms.push_back({"asleep", 6060, 2, {{0x72, 7, 1'000}}});
        return made_sample(vms, second, in_full);
    };
    State listed = apply(made_state(), silent_sample(4));
    listed = type(press(std::move(listed), KeyCode::end), "f");
    ASSERT_EQ(selected(listed), "6060.0");
    State state = press(listed, KeyCode::enter);
    state = apply(std::move(state), woken(5, "6060.0"));
    EXPECT_EQ(state.vm, "6060.1");
    ASSERT_NE(opened(state), nullptr);
    EXPECT_FALSE(opened(state)->vm.silent);
    EXPECT_FALSE(state.tracks.contains("6060.0"));
    state = apply(std::move(state), woken(6, "6060.1"));
    EXPECT_THAT(rows(state), ElementsAre("1.114"));
    EXPECT_EQ(selected(press(std::move(state), KeyCode::escape)), "6060.1");
    // One that is only selected stays so, in its place.
    listed = apply(std::move(listed), woken(5, ""));
    EXPECT_EQ(selected(listed), "6060.1");
    EXPECT_EQ(rows(listed).back(), "6060.1");
}

TEST(LiveState, an_opened_vm_without_exits_that_is_gone_has_ended) {
    State state = apply(made_state(), silent_sample(4));
    state = press(press(std::move(state), KeyCode::end), KeyCode::enter);
    for (std::uint64_t second = 5; second < 30; ++second) {
        state = apply(std::move(state), silent_sample(second, false));
    }
    ASSERT_NE(opened(state), nullptr);
    const std::string text = plain_text(draw(state, Glyphs::ascii));
    EXPECT_NE(text.find(", ended)"), text.npos);
    EXPECT_NE(text.find("it ended, and had 2 vCPUs"), text.npos) << text;
    state = press(std::move(state), KeyCode::escape);
    EXPECT_EQ(rows(state).size(), 4U);
    for (std::uint64_t second = 30; second < 42; ++second) {
        state = apply(std::move(state), silent_sample(second, false));
    }
    EXPECT_EQ(rows(state).size(), 3U);
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
