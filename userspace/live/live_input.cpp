// SPDX-License-Identifier: GPL-2.0-only
// Keys, mouse and resize: how the live view's state changes.
#include "live/live_state.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "model/fields.h"

namespace exittop {

namespace {

constexpr std::array delays = {0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0};
constexpr std::size_t longest_filter = 64;

// After every change: computes the rows anew, keeps the selected one, and keeps it visible.
void settle(State& state) {
    ListState& list = list_of(state);
    list.rows = make_rows(state);
    const auto found = std::ranges::find(list.rows, list.selected);
    if (found != list.rows.end() && !list.selected.empty()) {
        list.place = static_cast<std::size_t>(found - list.rows.begin());
    } else {
        list.place = list.rows.empty() ? 0 : std::min(list.place, list.rows.size() - 1);
    }
    const std::size_t visible = std::max<std::size_t>(layout_of(state).list_rows, 1);
    if (list.place < list.top) list.top = list.place;
    if (list.place >= list.top + visible) list.top = list.place - visible + 1;
    const std::size_t last = list.rows.size() > visible ? list.rows.size() - visible : 0;
    list.top = std::min(list.top, last);
}

void select(State& state, std::size_t place) {
    ListState& list = list_of(state);
    if (list.rows.empty()) return;
    list.place = std::min(place, list.rows.size() - 1);
    list.selected = list.rows[list.place];
}

void move_selection(State& state, std::ptrdiff_t by) {
    const auto place = static_cast<std::ptrdiff_t>(list_of(state).place) + by;
    select(state, static_cast<std::size_t>(std::max<std::ptrdiff_t>(place, 0)));
}

// A newly entered list begins at its top; a list that one returns to is unchanged.
void enter_list(State& state, Screen screen) {
    state.screen = screen;
    ListState& list = list_of(state);
    list.selected.clear();
    list.place = list.top = 0;
    list.rows.clear();
}

// Opens one of the two screens of a reason.
void open_reason(State& state, std::string reason, Screen screen) {
    state.reason = std::move(reason);
    state.reason_from = state.screen;
    for (const Screen each : {Screen::histogram, Screen::targets}) enter_list(state, each);
    list_of(state).filter.clear();  // That of targets was made for those of another reason.
    state.screen = screen;
    if (screen == Screen::targets) open_targets(state);
}

void go_down(State& state) {
    ListState& list = list_of(state);
    if (list.rows.empty()) return;
    select(state, list.place);
    const std::string key = list.selected;
    switch (state.screen) {
        case Screen::vms:
            state.vm = key;
            enter_list(state, Screen::reasons);
            break;
        case Screen::reasons: open_reason(state, key, Screen::targets); break;
        case Screen::vcpus: {
            // A vCPU's first reason: Up and Down lead to the other vCPUs.
            const VmTrack* track = opened(state);
            if (track == nullptr || track->reasons.empty()) return;
            const auto most =
                std::ranges::max_element(track->reasons, {}, &ReasonTrack::smooth_rate);
            open_reason(state, reason_key(most->now), Screen::histogram);
            list_of(state).selected = key;
            break;
        }
        case Screen::histogram:
        case Screen::targets: break;
    }
}

// A VM that ended meanwhile is shown fading, however long ago it ended.
void leave_vm(State& state) {
    const auto left = state.tracks.find(state.vm);
    if (left != state.tracks.end() && left->second.ended_s >= 0.0) {
        left->second.ended_s = state.duration_s;
    }
    state.screen = Screen::vms;
}

void go_back(State& state) {
    switch (state.screen) {
        case Screen::vms: list_of(state).filter.clear(); break;
        case Screen::reasons:
        case Screen::vcpus: leave_vm(state); break;
        case Screen::histogram:
        case Screen::targets:
            close_targets(state);
            state.screen = state.reason_from;
            break;
    }
}

void switch_tab(State& state) {
    switch (state.screen) {
        case Screen::vms: break;
        case Screen::reasons: state.screen = Screen::vcpus; break;
        case Screen::vcpus: state.screen = Screen::reasons; break;
        case Screen::targets: state.screen = Screen::histogram; break;
        case Screen::histogram:
            state.screen = Screen::targets;
            if (!state.targets.wanted) open_targets(state);
            break;
    }
}

void change_delay(State& state, bool longer) {
    if (longer) {
        const auto* next = std::ranges::upper_bound(delays, state.delay_s + 0.001);
        if (next != delays.end()) state.delay_s = *next;
    } else {
        const auto* next = std::ranges::lower_bound(delays, state.delay_s - 0.001);
        if (next != delays.begin()) state.delay_s = *(next - 1);
    }
    state.note = fmt::format("every {:g} s", state.delay_s);
}

void set_zero(State& state) {
    state.zero_s = state.duration_s;
    for (auto& [id, track] : state.tracks) {
        for (ReasonTrack& reason : track.reasons) reason.zero = reason.now;
        track.zero.reset();
        if (track.full) track.zero = TakenVm{*track.full, track.taken_s};
    }
    state.targets.zero = state.targets.now;
    state.targets.zero_s = state.targets.now_s;
    state.note = "counts start from zero now";
}

void toggle_baseline(State& state) {
    if (state.baseline) {
        state.baseline.reset();
        state.note = "no baseline";
        return;
    }
    Baseline baseline{state.taken_at, state.interval_s, {}, state.known_parts};
    const bool cumulative = std::exchange(state.cumulative, false);
    for (const auto& [id, track] : state.tracks) {
        if (track.vm.ended || !track.seen) continue;
        baseline.vms.insert_or_assign(
            track.vm.name, Baseline::VmBaseline{shown_reasons(state, track).exits, track.guest});
    }
    state.cumulative = cumulative;
    state.baseline = std::move(baseline);
    state.note = "baseline set: values are ratios to it";
}

void open_sort(State& state) {
    const auto& keys = sort_keys(state.screen);
    if (keys.empty()) return;
    state.overlay = Overlay::sort;
    const auto found = std::ranges::find(keys, list_of(state).sort, &SortKey::key);
    state.picked = found == keys.end() ? 0 : static_cast<std::size_t>(found - keys.begin());
}

void open_filter(State& state) {
    if (state.screen == Screen::histogram || state.screen == Screen::vcpus) return;
    state.overlay = Overlay::filter;
    state.filter_before = list_of(state).filter;
}

void press_character(State& state, char32_t character) {
    switch (character) {
        case U'q': state.quit = true; break;
        case U'j': move_selection(state, 1); break;
        case U'k': move_selection(state, -1); break;
        case U'g': select(state, 0); break;
        case U'G': select(state, SIZE_MAX); break;
        case U'?':
        case U'h':
            state.overlay = Overlay::help;
            state.picked = 0;
            break;
        case U's': open_sort(state); break;
        case U'/': open_filter(state); break;
        case U'r': list_of(state).reverse = !list_of(state).reverse; break;
        case U' ':
            state.paused = !state.paused;
            state.note = state.paused ? "paused; counting goes on" : "";
            break;
        case U'f': state.frozen = !state.frozen; break;
        case U'c': state.cumulative = !state.cumulative; break;
        case U'z': set_zero(state); break;
        case U'+':
        case U'=': change_delay(state, true); break;
        case U'-': change_delay(state, false); break;
        case U'b': toggle_baseline(state); break;
        case U'e': state.keep_ended = !state.keep_ended; break;
        case U'm': state.measure = !state.measure; break;
        case U'w': state.write = true; break;
        default: break;
    }
}

void press_in_sort(State& state, const Key& key) {
    const auto& keys = sort_keys(state.screen);
    const bool up = key.code == KeyCode::up || key.character == U'k';
    const bool down = key.code == KeyCode::down || key.character == U'j';
    if (up && state.picked > 0) --state.picked;
    if (down && state.picked + 1 < keys.size()) ++state.picked;
    if (key.code == KeyCode::enter) list_of(state).sort = keys[state.picked].key;
    const bool leave = key.code == KeyCode::enter || key.code == KeyCode::escape ||
                       key.character == U'q' || key.character == U's';
    if (leave) state.overlay = Overlay::none;
}

void press_in_filter(State& state, const Key& key) {
    std::string& filter = list_of(state).filter;
    if (key.code == KeyCode::enter) {
        state.overlay = Overlay::none;
    } else if (key.code == KeyCode::escape) {
        filter = state.filter_before;
        state.overlay = Overlay::none;
    } else if (key.code == KeyCode::backspace && !filter.empty()) {
        filter.pop_back();
    } else if (key.code == KeyCode::character && key.character >= 0x20 && key.character < 0x7f &&
               filter.size() < longest_filter) {
        filter += static_cast<char>(key.character);
    }
}

void press_in_help(State& state, const Key& key) {
    if (key.code == KeyCode::down || key.character == U'j') {
        ++state.picked;
    } else if (key.code == KeyCode::up || key.character == U'k') {
        if (state.picked > 0) --state.picked;
    } else {
        state.overlay = Overlay::none;
    }
}

void take(State& state, const Key& key) {
    state.note.clear();
    if (key.code == KeyCode::quit) state.quit = true;
    switch (state.overlay) {
        case Overlay::sort: press_in_sort(state, key); return;
        case Overlay::filter: press_in_filter(state, key); return;
        case Overlay::help: press_in_help(state, key); return;
        case Overlay::none: break;
    }
    const auto page =
        static_cast<std::ptrdiff_t>(std::max<std::size_t>(layout_of(state).list_rows, 2) - 1);
    switch (key.code) {
        case KeyCode::character: press_character(state, key.character); break;
        case KeyCode::up: move_selection(state, -1); break;
        case KeyCode::down: move_selection(state, 1); break;
        case KeyCode::page_up: move_selection(state, -page); break;
        case KeyCode::page_down: move_selection(state, page); break;
        case KeyCode::home: select(state, 0); break;
        case KeyCode::end: select(state, SIZE_MAX); break;
        case KeyCode::enter: go_down(state); break;
        case KeyCode::backspace:
        case KeyCode::escape: go_back(state); break;
        case KeyCode::tab: switch_tab(state); break;
        case KeyCode::help:
            state.overlay = Overlay::help;
            state.picked = 0;
            break;
        case KeyCode::filter: open_filter(state); break;
        case KeyCode::sort: open_sort(state); break;
        case KeyCode::quit: break;
    }
}

void take(State& state, const Mouse& mouse) {
    if (state.overlay != Overlay::none) return;
    if (mouse.kind != MouseKind::click) {
        move_selection(state, mouse.kind == MouseKind::wheel_up ? -3 : 3);
        return;
    }
    const LiveLayout layout = layout_of(state);
    const std::size_t place = list_of(state).top + mouse.row - layout.list_row;
    if (mouse.row < layout.list_row || mouse.row >= layout.list_row + layout.list_rows) return;
    if (place < list_of(state).rows.size()) select(state, place);
}

void take(State& state, const Resize& size) {
    state.height = size.height;
    state.width = size.width;
}
void take(State& state, const Detail& detail) {
    const auto found = state.tracks.find(detail.vm.id);
    if (found == state.tracks.end()) return;
    VmTrack& track = found->second;
    // One that the newest sample has in full, as it was opened then, stays as in the sample.
    if (track.full) return;
    track.vm = overview_of(detail.vm);
    track.full = detail.vm;
    track.targets = take_out_targets(*track.full);
    track.taken_s = detail.taken_s;
    track.before.reset();
    begin_targets(state);
}
void take(State& state, const TargetsSwitched& switched) { take_switched(state, switched); }
void take(State& state, const Note& note) {
    state.note = note.text;
    state.measure = note.measuring;
    state.write = false;
}
void take(State& state, const Sample& sample) { take_sample(state, Sample(sample)); }

}  // namespace

State apply(State state, const Event& event) {
    std::visit([&state](const auto& happened) { take(state, happened); }, event);
    settle(state);
    return state;
}

State apply(State state, Sample&& sample) {
    take_sample(state, std::move(sample));
    settle(state);
    return state;
}

const VmTrack* opened(const State& state) {
    const auto found = state.tracks.find(state.vm);
    return found == state.tracks.end() ? nullptr : &found->second;
}

bool shows_split(const State& state) {
    const VmTrack* track = state.screen == Screen::vms ? nullptr : opened(state);
    return track != nullptr && !track->vm.silent && !is_uncounted(track->vm) &&
           is_known(*find_field("kernel"), state.known_parts) && state.height >= 12;
}

LiveLayout layout_of(const State& state) {
    LiveLayout layout;
    // If there are few lines, the rows have priority; the warning of losses always stays.
    layout.header = state.height < 8 ? 1 : 3;
    if (lost_total(state.lost) > 0 && state.height >= 8) ++layout.header;
    if (counts_targets(state) && state.height >= 8) ++layout.header;
    if (shows_split(state)) ++layout.header;
    const std::size_t used = layout.header + 2;  // the table's heading and the keys
    const std::size_t body = state.height > used ? state.height - used : 1;
    layout.list_row = layout.header + 1;
    layout.list_rows = body;
    if (state.screen == Screen::histogram) {
        const std::size_t rows = std::max<std::size_t>(list_of(state).rows.size(), 1);
        layout.list_rows = std::min({rows, std::max<std::size_t>(body / 4, 2), body});
        layout.below = body - layout.list_rows;
    }
    if (state.screen == Screen::targets) {
        // Never fewer than five lines, so that the histogram stays where it is as the first come.
        constexpr std::size_t least = 5;
        const std::size_t rows = list_of(state).rows.size();
        layout.list_rows = std::min(std::clamp(rows, least, std::max(body / 2, least)), body);
        layout.below = body - layout.list_rows;
    }
    return layout;
}

}  // namespace exittop
