// SPDX-License-Identifier: GPL-2.0-only
// What the live view shows, as a value, and how keys and samples change it. It uses no terminal and
// no clock: apply() is a pure function.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/overview.h"
#include "model/snapshot.h"

namespace exittop {

/// Rates of the last minute, a value per second, oldest first.
class Trail {
public:
    static constexpr std::size_t length = 60;
    /// Adds a rate that held for that time. If shorter than a second, it waits for the rest of the
    /// second; if longer, it counts for each second.
    void add(double rate, double seconds);
    [[nodiscard]] std::size_t size() const { return used_; }
    /// The value `back` seconds ago; 0 is the newest.
    [[nodiscard]] double at(std::size_t back) const {
        return static_cast<double>(values_[(next_ + 2 * length - 1 - back) % length]);
    }

private:
    std::array<float, length> values_{};
    std::size_t next_ = 0;
    std::size_t used_ = 0;
    double count_ = 0.0;    ///< What happened in the time that is not in values_ yet,
    double seconds_ = 0.0;  ///< how long that was,
    double due_ = 0.0;      ///< and the same less what was rounded into values_.
};

/// One exit reason of a VM. The numbers are without histograms; those are in VmTrack::full.
struct ReasonTrack {
    ExitStats now;       ///< Since exittop started.
    ExitStats interval;  ///< In the last interval.
    ExitStats zero;      ///< `now` when the user set it to zero.
    double smooth_rate = 0.0;
    Trail trail;
};

/// Of the newest rate in a smoothed one: a change of load is through after some five samples.
inline constexpr double newest_part = 0.3;
/// A VM in full that was taken so short a time before a sample tells no rates.
inline constexpr double shortest_s = 0.1;
inline double smoothed(double before, double now, bool first) {
    return first ? now : before + newest_part * (now - before);
}

/// Per second, smoothed.
struct TargetRates {
    double count = 0.0;
    double time_ns = 0.0;
};

/// What the exits of the opened reason were about.
struct ReasonTargets {
    bool wanted = false;   ///< The screen was opened: they are to be counted.
    bool begun = false;    ///< They are counted,
    bool sampled = false;  ///< and there was a sample since.
    bool none = false;     ///< Exits of this reason came, but are not counted by target.
    double since_s = 0.0;  ///< When it was begun, in seconds of counting,
    double now_s = 0.0;    ///< of `now`,
    double zero_s = 0.0;   ///< and of `zero`.
    double interval_s = 0.0;
    Targets base{};      ///< All there were when it was begun.
    Targets now{};       ///< All there are.
    Targets zero{};      ///< All there were when they were set to zero.
    Targets interval{};  ///< Those of the last interval.
    std::map<std::string, TargetRates> rates{};
};

/// A VM in full, and the time of that, in seconds of counting.
struct TakenVm {
    Vm vm;
    double taken_s = 0.0;
};

/// All numbers below `label` are of the interval between two samples, or of several intervals. A VM
/// in full may have been read between samples, when it was opened (Detail), so it has its own
/// times.
struct VmTrack {
    VmOverview vm;                         ///< The newest there is.
    std::optional<Vm> full;                ///< The same in full, while it is looked at.
    std::map<ReasonKey, Targets> targets;  ///< What is counted of them; `full` has none,
    double taken_s = 0.0;                  ///< When all these were taken.
    std::optional<TakenVm> before;         ///< The one before, if both are in full.
    std::optional<TakenVm> zero;           ///< As it was when set to zero, if it was in full.
    std::string label;                     ///< The name, sanitised.
    double since_s = 0.0;  ///< Its exits came after this, as the sample that then was had none,
    double from_s = 0.0;   ///< and this is when its last interval began
    double to_s = 0.0;     ///< and ended.
    std::vector<ReasonTrack> reasons;  ///< Ascending by (level, code).
    double rate = 0.0;                 ///< Exits per second.
    double cores = 0.0;                ///< Cores spent on handling exits.
    double waits = 0.0;                ///< Cores that its vCPUs wanted and did not get.
    double guest = 0.0;                ///< Share of its vCPUs' time that was spent in the guest.
    double smooth_rate = 0.0;
    double smooth_cores = 0.0;
    double smooth_waits = 0.0;
    double smooth_guest = 0.0;
    std::uint64_t guest_ns = 0;
    Trail trail;
    double ended_s = -1.0;  ///< When it was first seen ended, in seconds of counting, or, if
                            ///< it was looked at then, when the user went back from it.
    bool seen = true;       ///< It is in the newest sample.
};

/// What values are compared with: rates of VMs, found by their names.
struct Baseline {
    struct VmBaseline {
        std::vector<ExitStats> exits;
        double guest = 0.0;
    };
    std::string label;
    double duration_s = 0.0;
    std::map<std::string, VmBaseline> vms;
    TimeParts known_parts = TimeParts::all();  ///< Of what it was made from.
    /// The rates of the VM with that name; of the only VM if names do not match.
    [[nodiscard]] const VmBaseline* find(const std::string& name) const;
};
Baseline baseline_from(const Snapshot& run, std::string label);

/// Of one reason, `histogram` lists the vCPUs and `targets` what its exits were about, both with
/// the distribution of times below.
enum class Screen { vms, reasons, vcpus, histogram, targets };
enum class Overlay { none, help, sort, filter };

/// Something that can be sorted by: a column of the screen.
struct SortKey {
    std::string_view key;
    std::string_view meaning;
};
const std::vector<SortKey>& sort_keys(Screen screen);

/// State of each screen: selection, first visible row, sorting and filter.
struct ListState {
    std::string selected{};  ///< Key of a row; empty: the first one.
    std::size_t place = 0;   ///< Where it is, and stays if its row goes.
    std::size_t top = 0;     ///< First row that is drawn.
    std::string sort;
    bool reverse = false;
    std::string filter{};
    std::vector<std::string> rows{};  ///< Keys of all rows, in order.
};

struct State {
    std::size_t height = 24;
    std::size_t width = 80;
    Screen screen = Screen::vms;
    Overlay overlay = Overlay::none;
    /// By Screen.
    std::array<ListState, 5> lists{
        {{.sort = "rate"}, {.sort = "rate"}, {.sort = "id"}, {.sort = "id"}, {.sort = "time"}}};
    std::size_t picked = 0;     ///< In the sort picker; in the help: first line shown.
    std::string filter_before;  ///< While a filter is typed: what Esc restores.
    std::string vm;             ///< Id of the VM that is, or was last, looked at.
    std::string reason;         ///< Key of the reason that is looked at.
    Screen reason_from = Screen::reasons;
    ReasonTargets targets;  ///< Of this reason.

    std::string host;                       ///< First line: kernel, CPU, paging.
    std::map<std::string, VmTrack> tracks;  ///< By id.
    std::set<std::string> faded;            ///< Ended VMs that are no longer shown.
    std::string taken_at;
    double duration_s = 0.0;  ///< Of counting, at the newest sample.
    double interval_s = 0.0;  ///< Between the newest two.
    double zero_s = 0.0;      ///< When the counts were set to zero.
    Lost lost;
    TimeParts known_parts = TimeParts::all();  ///< Of the last sample.
    Cost cost;
    double cpu_share = 0.0;     ///< Of a core, by exittop itself, in the last interval.
    double ns_per_event = 0.0;  ///< In the kernel; 0: not measured.

    double delay_s = 1.0;
    bool paused = false;
    bool frozen = false;
    bool cumulative = false;
    bool keep_ended = false;
    std::optional<Baseline> baseline;
    std::optional<TargetChoice> chosen_targets;  ///< --targets: counted of all VMs at any time.
    std::string targets_vm;     ///< Without that: id of the VM whose targets are counted; or empty,
    double targets_on_s = 0.0;  ///< since when,
    std::string targets_error;  ///< and why they cannot be counted, as long as its screen is open.
    std::string waiting;        ///< What is waited for before counting can begin; empty: nothing.
    std::string note;           ///< One line for the user, until the next key.

    // Requests to the loop.
    bool measure = false;  ///< Have the kernel measure the BPF programs.
    bool write = false;    ///< Write a run file.
    bool quit = false;
};

enum class KeyCode {
    character,
    up,
    down,
    page_up,
    page_down,
    home,
    end,
    enter,
    escape,
    tab,
    backspace,
    help,
    filter,
    sort,
    quit
};
struct Key {
    KeyCode code = KeyCode::character;
    char32_t character = 0;
};
enum class MouseKind { click, wheel_up, wheel_down };
struct Mouse {
    MouseKind kind = MouseKind::click;
    std::size_t row = 0;
};
struct Resize {
    std::size_t height = 0;
    std::size_t width = 0;
};
struct Sample {
    Overview overview;
};
/// The opened VM between samples.
using Detail = TakenVm;
/// The loop's answer to requests; it ends them.
struct Note {
    std::string text;
    bool measuring = false;
};
/// The loop's answer to wants_targets().
struct TargetsSwitched {
    std::string vm{};         ///< Counted from now on; empty: none.
    double at_s = 0.0;        ///< In seconds of counting.
    std::uint64_t bytes = 0;  ///< Kernel memory that they take.
    std::string error{};      ///< Why it did not work; empty: it did.
};
using Event = std::variant<Key, Mouse, Resize, Sample, Detail, Note, TargetsSwitched>;

[[nodiscard]] State apply(State state, const Event& event);
[[nodiscard]] State apply(State state, Sample&& sample);

/// Key of a reason's row: "1.30" is code 30 of L1.
std::string reason_key(const ExitStats& stats);
/// What has that key, or nullptr.
const ReasonTrack* find_reason(const VmTrack& track, const std::string& key);
const ExitStats* find_reason(const std::vector<ExitStats>& exits, const std::string& key);

inline ListState& list_of(State& state) {
    return state.lists[static_cast<std::size_t>(state.screen)];
}
inline const ListState& list_of(const State& state) {
    return state.lists[static_cast<std::size_t>(state.screen)];
}
/// Id of the opened VM; empty on the list of all VMs.
inline std::string opened_vm(const State& state) {
    return state.screen == Screen::vms ? std::string() : state.vm;
}
/// The opened VM, or nullptr.
const VmTrack* opened(const State& state);

/// Positions on the screen, for drawing and for the mouse.
struct LiveLayout {
    std::size_t header = 0;     ///< Lines above the table's heading.
    std::size_t list_row = 0;   ///< Screen line of the first row of the list.
    std::size_t list_rows = 0;  ///< Lines for rows.
    std::size_t below = 0;      ///< Lines below the list, for the histogram.
};
LiveLayout layout_of(const State& state);
/// Whether there is a line that says where the time of the opened VM's exits went.
bool shows_split(const State& state);

enum class Since { interval, zero, start };
/// The values shown of a VM's (or vCPU's) reasons: of the last interval, or since the reset to
/// zero.
struct Shown {
    std::vector<ExitStats> exits;
    double duration_s = 0.0;                ///< In which these counts and times came about.
    Since distributions = Since::interval;  ///< Of these, what is known may be from the start on.
};
/// Of the VM, as its own numbers are: from sample to sample.
Shown shown_reasons(const State& state, const VmTrack& track);
/// Of one of its vCPUs, from the times when the VM was read in full; since the start, until that
/// happened twice.
Shown shown_vcpu(const State& state, const VmTrack& track, std::uint32_t vcpu);
/// Shown::duration_s of vCPUs.
double shown_vcpu_s(const State& state, const VmTrack& track);

/// The same of one reason, without a distribution, and of all of a VM's in one.
ExitStats shown_numbers(const State& state, const ReasonTrack& reason);
ExitStats shown_sum(const State& state, const VmTrack& track);

/// Id of the VM whose targets are to be counted; empty: of none, or they are counted anyway.
std::string wants_targets(const State& state);
/// Whether targets of any VM are counted, which costs.
bool counts_targets(const State& state);

/// Of the last interval, or since zero.
struct ShownTargets {
    Targets targets;
    double duration_s = 0.0;
};
ShownTargets shown_targets(const State& state);
/// Keys of the rows of targets: of a known one, and of the two sums after them.
std::string target_key(const TargetStats& stats);
inline constexpr std::string_view other_targets = "other";
inline constexpr std::string_view unknown_targets = "unknown";
/// What a row is called, sanitised.
std::string target_row_label(const State& state, const VmTrack& track, const std::string& key);

// Parts of apply(), in live_targets.cpp.
/// Takes targets out of the vCPUs' counts, and sums them up: the counts are added up anew for each
/// drawing, for which targets are too many.
std::map<ReasonKey, Targets> take_out_targets(Vm& vm);
void open_targets(State& state);
void close_targets(State& state);
/// Where the VM's targets are counted already, those of the opened reason begin at what it has now.
void begin_targets(State& state);
/// Those of a new sample.
void take_targets(State& state);
void take_switched(State& state, const TargetsSwitched& switched);

/// Takes a sample in; part of apply(), in live_tracks.cpp.
void take_sample(State& state, Sample&& sample);
/// Keys of the rows of the present screen, filtered and sorted; in live_rows.cpp.
std::vector<std::string> make_rows(const State& state);

}  // namespace exittop
