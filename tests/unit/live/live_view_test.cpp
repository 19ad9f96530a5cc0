// SPDX-License-Identifier: GPL-2.0-only
// Whole frames of the live view; no frame of any size exceeds the terminal.
#include <gtest/gtest.h>

#include <set>

#include "golden.h"
#include "live/live_draw.h"
#include "live_samples.h"

namespace exittop::test {
namespace {

std::string frame(const State& state, Glyphs glyphs = Glyphs::utf8) {
    return plain_text(draw(state, glyphs));
}

/// With web01 opened, and seen in full for two samples.
State opened_state(std::size_t height = 24, std::size_t width = 100) {
    State state = press(made_state(height, width), KeyCode::enter);
    for (std::uint64_t second = 4; second <= 5; ++second) {
        state = apply(std::move(state), made_sample(made_vms(), second, "4242.1"));
    }
    return state;
}

TEST(LiveView, first_screen) { expect_golden("live_vms.txt", frame(made_state())); }
TEST(LiveView, wide) { expect_golden("live_vms_wide.txt", frame(made_state(12, 180))); }
TEST(LiveView, narrow) { expect_golden("live_vms_80.txt", frame(made_state(24, 80))); }
TEST(LiveView, less_wide) { expect_golden("live_vms_132.txt", frame(made_state(12, 132))); }
TEST(LiveView, smallest) { expect_golden("live_vms_small.txt", frame(made_state(5, 20))); }
TEST(LiveView, ascii) {
    const std::string text = frame(made_state(), Glyphs::ascii);
    for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f));
    expect_golden("live_vms_ascii.txt", text);
}
TEST(LiveView, reasons) { expect_golden("live_reasons.txt", frame(opened_state())); }
TEST(LiveView, reasons_narrow) {
    expect_golden("live_reasons_80.txt", frame(opened_state(24, 80)));
}
TEST(LiveView, reasons_less_wide) {
    expect_golden("live_reasons_132.txt", frame(opened_state(12, 132)));
}
TEST(LiveView, reasons_wide) {
    expect_golden("live_reasons_wide.txt", frame(opened_state(12, 160)));
}
TEST(LiveView, vcpus) {
    expect_golden("live_vcpus.txt", frame(press(opened_state(), KeyCode::tab)));
}
TEST(LiveView, histogram) {
    const State state = press(press(opened_state(30), KeyCode::tab), KeyCode::enter);
    expect_golden("live_histogram.txt", frame(press(state, KeyCode::up)));
}
TEST(LiveView, targets) { expect_golden("live_targets.txt", frame(targets_state(30, 100))); }
TEST(LiveView, targets_small) {
    const std::string text = frame(targets_state(24, 80), Glyphs::ascii);
    for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f));
    expect_golden("live_targets_small.txt", text);
}
TEST(LiveView, targets_sums) {
    expect_golden("live_targets_sums.txt", frame(type(targets_state(24, 100), "cr")));
}
TEST(LiveView, targets_none) {
    State state = press(opened_state(), KeyCode::enter);
    state =
        apply(std::move(state),
              TargetsSwitched{.error = "targets are not available on this kernel: it has no "
                                       "kvm_exit with a vCPU, which is where they are read\x1b"});
    expect_golden("live_targets_none.txt", frame(apply(state, Resize{24, 80})));
}
TEST(LiveView, sums) { expect_golden("live_sums.txt", frame(type(opened_state(), "c"))); }
TEST(LiveView, help) { expect_golden("live_help.txt", frame(type(made_state(42), "?"))); }
TEST(LiveView, sort_picker) { expect_golden("live_sort.txt", frame(type(made_state(14), "s"))); }

TEST(LiveView, a_vms_screen_says_who_runs_it) {
    const auto path = [](std::size_t width) {
        const std::string text = frame(opened_state(24, width));
        const std::size_t at = text.find("web01 (");
        return text.substr(at, text.find(" reasons", at) - at);
    };
    EXPECT_EQ(path(160), "web01 (qemu, pid 4242, uid 64055, /usr/libexec/qemu-of-web01, npt) ›");
    EXPECT_EQ(path(100), "web01 (qemu, pid 4242, uid 64055, qemu-of-web01, npt) ›");
    EXPECT_EQ(path(80), "web01 (qemu, pid 4242, uid 64055, npt) ›");
    State state = opened_state(24, 160);
    VmOverview& vm = state.tracks.at("4242.1").vm;
    vm.uid.reset();
    vm.executable = "/tmp/\x1b[2J\n" + std::string(5'000, 'x');
    const std::string text = frame(state);
    EXPECT_NE(text.find("pid 4242, /tmp/\\x1b[2J\\x0axxx"), std::string::npos) << text;
    EXPECT_NE(text.find("…, npt) ›"), std::string::npos) << text;
}

TEST(LiveView, ratios) {
    State state = type(opened_state(), "b");
    auto vms = made_vms();
    vms[0].rates[2].per_second = 16'500;
    vms[0].rates.push_back({0x60, 33, 700});
    // What came before has happened at the old rates.
    Sample before = made_sample(made_vms(), 5, "4242.1");
    Sample grown = made_sample(made_vms(), 6, "4242.1");
    const Vm second = made_vm(vms[0], 1);
    Vm web = *before.overview.in_full;
    for (std::size_t i = 0; i < web.vcpus.size(); ++i) {
        auto& exits = web.vcpus[i].exits;
        exits.insert(exits.begin(), second.vcpus[i].exits.back());
        for (std::size_t k = 1; k < exits.size(); ++k) exits[k] += second.vcpus[i].exits[k - 1];
    }
    add_vm(grown, web, true);
    expect_golden("live_ratios.txt", frame(apply(std::move(state), std::move(grown))));
}

TEST(LiveView, losses_cannot_be_missed) {
    Sample sample = made_sample(made_vms(), 4);
    sample.overview.lost.table_full = 1'234;
    State state = apply(made_state(), std::move(sample));
    expect_golden("live_lost.txt", frame(state));
    const auto lines = draw(state, Glyphs::utf8);
    EXPECT_EQ(lines[2].front().role, Role::alarm);
    state = apply(std::move(state), Resize{5, 20});
    EXPECT_EQ(draw(state, Glyphs::utf8)[0].front().role, Role::alarm);
}

TEST(LiveView, parts_of_the_time_that_are_not_known_have_no_numbers) {
    Sample sample = made_sample(made_vms(), 4, "4242.1");
    sample.overview.known_parts = {};
    State state = apply(apply(made_state(), Resize{30, 200}), std::move(sample));
    const std::string vms = frame(state);
    state = apply(std::move(state), Key{KeyCode::enter});
    expect_golden("live_unsplit.txt", vms + frame(state));
}

TEST(LiveView, waits_are_unknown_where_the_part_is) {
    Sample sample = made_sample(made_vms(), 4, "4242.1");
    sample.overview.known_parts = {TimePart::vmm, TimePart::halted};
    State state = apply(made_state(24, 132), std::move(sample));
    const auto row = [](const State& shown, std::string_view begin) {
        const std::string text = frame(shown);
        const std::size_t at = text.find(begin);
        return text.substr(at, text.find('\n', at) - at);
    };
    EXPECT_NE(row(state, ">web01").find("  27.7%      -  60.0% "), std::string::npos)
        << row(state, ">web01");
    // A ratio takes both sides to know it.
    State ratios = apply(type(state, "b"), made_sample(made_vms(), 5));
    EXPECT_NE(row(ratios, ">web01").find("      -  1.00x "), std::string::npos)
        << row(ratios, ">web01");
    state = press(press(std::move(state), KeyCode::enter), KeyCode::tab);
    EXPECT_NE(row(state, ">vCPU 0").find(" 13.8%       -  28.5% "), std::string::npos)
        << row(state, ">vCPU 0");
    EXPECT_NE(row(state, " KK").find("  K kernel, V VMM, H halted"), std::string::npos)
        << frame(state);
}

TEST(LiveView, columns_without_a_value_give_way_first) {
    Sample sample = made_sample(made_vms(), 6, "4242.1");
    sample.overview.known_parts = {TimePart::vmm, TimePart::halted};
    const State state = apply(opened_state(24, 120), std::move(sample));
    EXPECT_NE(frame(state).find(" HALTED/s "), std::string::npos) << frame(state);
    EXPECT_EQ(frame(state).find("PREEMPTED/s"), std::string::npos) << frame(state);
    EXPECT_NE(frame(apply(state, Resize{24, 180})).find(" PREEMPTED/s "), std::string::npos);
}

TEST(LiveView, bars_have_a_role_of_their_own_even_where_selected) {
    const auto bars = [](const State& state, Role role) {
        std::vector<std::string> texts;
        for (const Line& line : draw(state, Glyphs::ascii)) {
            for (const Span& span : line) {
                if (span.role == role) texts.push_back(span.text);
            }
        }
        return texts;
    };
    using Texts = std::vector<std::string>;
    const State state = made_state(24, 132);
    EXPECT_EQ(bars(state, Role::selected_bar), (Texts{" KKVPHHHHHHHH"}));
    EXPECT_EQ(bars(state, Role::bar), (Texts{" KKWHHHHHHHHH", " KKKKKKKKKKKK"}));
    EXPECT_EQ(bars(apply(state, Resize{24, 80}), Role::bar), Texts{});
    // A VM's own, where there are enough lines and the parts are known.
    EXPECT_EQ(bars(opened_state(12, 80), Role::bar), (Texts{"KKKVVPWHHHHHHHHHHH"}));
    EXPECT_EQ(bars(opened_state(11, 80), Role::bar), Texts{});
    State unknown = opened_state(24, 132);
    unknown.known_parts = {TimePart::preempted};
    for (const std::string& bar : bars(unknown, Role::bar)) {
        EXPECT_EQ(bar.find_first_not_of(' '), bar.npos);
    }
}

TEST(LiveView, no_vm_yet) {
    State state = apply(State{}, Resize{10, 60});
    EXPECT_NE(frame(state).find("Starting"), std::string::npos);
    state.waiting = "Waiting for kvm_intel or kvm_amd to be loaded.";
    EXPECT_NE(frame(state).find("Waiting for kvm_intel"), std::string::npos);
    state = apply(std::move(state), made_sample({}, 1));
    EXPECT_NE(frame(state).find("exittop lab"), std::string::npos);
    EXPECT_EQ(frame(state).find("Waiting"), std::string::npos);
    EXPECT_NE(frame(apply(std::move(state), made_sample(made_vms(), 2))).find("web01"),
              std::string::npos);
}

TEST(LiveView, vm_without_a_slot_has_no_numbers) {
    State state = made_state();
    for (std::uint64_t second = 4; second <= 5; ++second) {
        Sample sample = made_sample(made_vms(), second);
        Vm kept_out = made_vm({"kept-out", 6060, 2, {}}, second);
        for (Vcpu& vcpu : kept_out.vcpus) {
            vcpu.exits.clear();
            vcpu.guest_ns = 0;
            vcpu.uncounted = 100 * second;
        }
        add_vm(sample, kept_out);
        state = apply(std::move(state), std::move(sample));
    }
    const std::string shown = frame(state);
    const std::string row = shown.substr(shown.find("kept-out"));
    EXPECT_NE(row.substr(0, row.find('\n')).find(" not counted"), std::string::npos) << shown;
    EXPECT_NE(row.substr(0, row.find('\n')).find(" - "), std::string::npos) << shown;
    state = press(press(std::move(state), KeyCode::end), KeyCode::enter);
    EXPECT_NE(frame(state).find("Not counted: 1,000 exits of this VM; there is no room"),
              std::string::npos)
        << frame(state);
    EXPECT_NE(frame(state).find("kept-out (qemu, pid 6060"), std::string::npos) << frame(state);
}

TEST(LiveView, vm_without_exits_has_no_numbers) {
    State state = made_state();
    for (std::uint64_t second = 4; second <= 5; ++second) {
        Sample sample = made_sample(made_vms(), second);
        Vm silent = made_vm({"asleep", 6060, 2, {}}, second);
        silent.id = "6060.0";
        silent.silent = true;
        silent.paging = Paging::unknown;
        for (Vcpu& vcpu : silent.vcpus) vcpu.guest_ns = 0;
        add_vm(sample, silent);
        state = apply(std::move(state), std::move(sample));
    }
    expect_golden("live_silent.txt", frame(state));
    // In sums and ratios no zero is shown either.
    for (const char* keys : {"c", "b"}) {
        const std::string shown = frame(type(state, keys));
        const std::string row = shown.substr(shown.find("asleep"));
        EXPECT_NE(row.substr(0, row.find('\n')).find(" - "), std::string::npos) << shown;
    }
    state = press(press(std::move(state), KeyCode::end), KeyCode::enter);
    EXPECT_NE(frame(state).find("No exit of this VM was seen; it has 2 vCPUs."), std::string::npos);
    EXPECT_NE(frame(press(std::move(state), KeyCode::tab)).find("No exit of this VM"),
              std::string::npos);
}

TEST(LiveView, cost_in_the_kernel) {
    Sample sample = made_sample(made_vms(), 4);
    sample.overview.cost.run_ns = 68'000;
    sample.overview.cost.runs = 1'000;
    EXPECT_NE(frame(apply(made_state(), std::move(sample))).find("68 ns/event"), std::string::npos);
}

TEST(LiveView, every_screen_fits_every_size) {
    const std::vector<State> states = {
        made_state(),
        opened_state(),
        press(opened_state(), KeyCode::tab),
        press(opened_state(), KeyCode::enter),
        press(press(opened_state(), KeyCode::enter), KeyCode::tab),
        targets_state(24, 100),
        type(targets_state(24, 100), "c/port"),
        type(targets_state(24, 100), "s"),
        type(made_state(), "?"),
        type(made_state(), "s"),
        type(made_state(), "/we"),
        type(opened_state(), "b"),
        type(opened_state(), "cz"),
    };
    for (const State& state : states) {
        for (const std::size_t height : {1UL, 2UL, 5UL, 7UL, 8UL, 24UL, 120UL}) {
            for (std::size_t width = 1; width <= 400; width += width < 30 ? 1 : 37) {
                const State resized = apply(state, Resize{height, width});
                for (const Glyphs glyphs : {Glyphs::utf8, Glyphs::ascii}) {
                    const auto lines = draw(resized, glyphs);
                    ASSERT_EQ(lines.size(), height);
                    for (const Line& line : lines) ASSERT_LE(line_width(line), width);
                }
            }
        }
    }
}

TEST(LiveView, no_frame_holds_control_characters) {
    for (const State& state :
         {made_state(),
          press(press(press(made_state(), KeyCode::end), KeyCode::enter), KeyCode::enter)}) {
        for (const char c : frame(state)) {
            EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
        }
        EXPECT_NE(frame(state).find("evil\\x1b[2J"), std::string::npos);
    }
}

TEST(LiveView, columns_leave_by_importance) {
    const std::vector<LiveColumn> columns = {{"A", 10, 20, 0}, {"B", 5, 5, 2}, {"C", 5, 5, 1}};
    using Widths = std::vector<std::size_t>;
    EXPECT_EQ(column_widths(columns, 8), (Widths{7, 0, 0}));
    EXPECT_EQ(column_widths(columns, 17), (Widths{10, 0, 5}));
    EXPECT_EQ(column_widths(columns, 23), (Widths{10, 5, 5}));
    EXPECT_EQ(column_widths(columns, 100), (Widths{20, 5, 5}));
}

TEST(LiveView, ratio_texts) {
    EXPECT_EQ(print_ratio(3.0, 2.0), "1.50x");
    EXPECT_EQ(print_ratio(0.0, 2.0), "0.00x");
    EXPECT_EQ(print_ratio(2.0, 0.0), "new");
    EXPECT_EQ(print_ratio(0.0, 0.0), "-");
    EXPECT_EQ(print_ratio(-1.0, 2.0), "-");
}

TEST(LiveView, numbers_of_reasons_are_not_cut) {
    std::set<std::size_t> shown;
    for (std::size_t width = 20; width <= 160; ++width) {
        const std::string text = frame(made_state(24, width));
        const std::string row = text.substr(text.find(">web01"), width + 8);
        std::size_t reasons = 0;
        for (const char* reason : {"io 26,402", "hlt 922", "cpuid 842"}) {
            const std::size_t at = row.find(std::string(reason).substr(0, 5));
            if (at == row.npos) continue;
            EXPECT_EQ(row.substr(at, std::string_view(reason).size()), reason) << row;
            ++reasons;
        }
        shown.insert(reasons);
    }
    EXPECT_EQ(shown, (std::set<std::size_t>{0, 2, 3}));
}

TEST(LiveView, trails) {
    Trail trail;
    EXPECT_EQ(draw_trail(trail, 3, Glyphs::ascii), "   ");
    for (const double value : {0.0, 1.0, 1000.0}) trail.add(value, 1.0);
    EXPECT_EQ(draw_trail(trail, 5, Glyphs::ascii), "   _#");
    EXPECT_EQ(draw_trail(trail, 2, Glyphs::utf8), "▁█");
    for (int i = 0; i < 100; ++i) trail.add(i, 1.0);
    EXPECT_EQ(display_width(draw_trail(trail, 80, Glyphs::utf8)), 80U);
}

}  // namespace
}  // namespace exittop::test
