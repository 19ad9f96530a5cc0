// SPDX-License-Identifier: GPL-2.0-only
// Columns: what says whose exits these are, then the fields that have a place among them.
#include "output/csv.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "model/fields.h"
#include "model/target_name.h"
#include "output/target_text.h"

namespace exittop {

namespace {

const std::vector<const Field*> data_fields = [] {
    std::vector<const Field*> placed;
    for (const Field& field : fields()) {
        if (field.places.csv > 0) placed.push_back(&field);
    }
    std::ranges::sort(placed, {}, [](const Field* field) { return field->places.csv; });
    return placed;
}();

constexpr std::size_t reason_column = 8, count_column = 10;

// Fields that came later stand behind all that was there before, so that its places stay.
constexpr auto old_fields = 8;
const std::span<const Field* const> first_fields = std::span(data_fields).first(old_fields);
const std::span<const Field* const> last_fields = std::span(data_fields).subspan(old_fields);

class Lines {
public:
    explicit Lines(const Snapshot& snapshot)
        : snapshot_(snapshot), has_targets_(counts_targets(snapshot)) {
        std::vector<std::string> cells = {"vm",  "pid",    "vmm",   "uuid",   "vcpu",
                                          "isa", "paging", "level", "reason", "code"};
        for (const Field* field : first_fields) cells.emplace_back(field->data_name);
        cells.emplace_back("ended");
        if (has_targets_) cells.insert(cells.end(), {"target", "target_name"});
        for (const Field* field : last_fields) cells.emplace_back(field->data_name);
        columns_ = cells.size();
        out_ = csv_line(cells);
    }

    /// A reason's line, then those of its targets.
    void add(const Vm& vm, const std::string& vcpu, const ExitStats& stats) {
        add_line(vm, vcpu, stats, "", "", [&](const Field& field) {
            return is_known(field, snapshot_) ? plain_value(field.value(stats, {.isa = vm.isa}))
                                              : std::string();
        });
        if (stats.targets) add_targets(vm, vcpu, stats);
    }

    void add(const Loss& loss) {
        std::vector<std::string> cells(columns_);
        cells[reason_column] = fmt::format("lost:{}", loss.cause);
        cells[count_column] = fmt::format("{}", loss.count);
        out_ += csv_line(cells);
    }

    [[nodiscard]] std::string take() && { return std::move(out_); }

private:
    static std::vector<std::string> beginning(const Vm& vm, const std::string& vcpu,
                                              const ExitStats& stats) {
        return {csv_foreign(vm.name),
                fmt::format("{}", vm.pid),
                csv_foreign(vm.vmm),
                csv_foreign(vm.uuid),
                vcpu,
                isa_name(vm.isa),
                paging_name(vm.paging),
                fmt::format("{}", static_cast<int>(stats.level)),
                exit_reason_name(vm.isa, stats.code),
                fmt::format("{}", stats.code)};
    }

    void add_line(const Vm& vm, const std::string& vcpu, const ExitStats& reason,
                  std::string_view target, std::string_view name, const auto& cell_of) {
        std::vector<std::string> cells = beginning(vm, vcpu, reason);
        for (const Field* field : first_fields) cells.push_back(cell_of(*field));
        cells.emplace_back(vm.ended ? "1" : "0");
        if (has_targets_) cells.insert(cells.end(), {csv_foreign(target), csv_foreign(name)});
        for (const Field* field : last_fields) cells.push_back(cell_of(*field));
        out_ += csv_line(cells);
    }

    void add_targets(const Vm& vm, const std::string& vcpu, const ExitStats& stats) {
        for (const TargetStats& target : dearest_first(*stats.targets)) {
            add_target(vm, vcpu, stats, target, target.target,
                       target_name(vm.isa, stats.code, target.target));
        }
        const auto& [known, other, unknown, why] = *stats.targets;
        if (other.count > 0) add_target(vm, vcpu, stats, other, csv_other_targets, "");
        if (unknown.count > 0) add_target(vm, vcpu, stats, unknown, csv_unknown_targets, why);
    }

    /// Only what is known of a target: counts, times, and what follows from them.
    void add_target(const Vm& vm, const std::string& vcpu, const ExitStats& reason,
                    const TargetSum& sum, std::string_view target, std::string_view name) {
        constexpr std::array known = {"count", "time", "mean"};
        ExitStats stats;
        stats.count = sum.count;
        stats.time_ns = sum.time_ns;
        add_line(vm, vcpu, reason, target, name, [&](const Field& field) {
            const bool is_shown =
                std::ranges::find(known, field.key) != known.end() && is_known(field, snapshot_);
            return is_shown ? plain_value(field.value(stats, {.isa = vm.isa})) : std::string();
        });
    }

    const Snapshot& snapshot_;
    bool has_targets_;
    std::size_t columns_ = 0;
    std::string out_;
};

}  // namespace

std::string csv_field(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == text.npos) return std::string(text);
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + "\"";
}

std::string csv_line(const std::vector<std::string>& cells) {
    std::string line;
    for (const std::string& cell : cells) {
        if (!line.empty() || &cell != &cells.front()) line += ',';
        line += csv_field(cell);
    }
    return line + "\n";
}

std::string csv_foreign(std::string_view bytes) {
    const std::string text = sanitise(cut_bytes(bytes, name_bytes));
    const bool formula = !text.empty() && std::string_view("=+-@").contains(text.front());
    return formula ? "'" + text : text;
}

std::string to_csv(const Snapshot& snapshot, bool per_vcpu) {
    Lines lines(snapshot);
    for (const Vm& vm : snapshot.vms) {
        const auto add = [&](const std::string& vcpu, const std::vector<ExitStats>& exits) {
            for (const ExitStats& stats : exits) lines.add(vm, vcpu, stats);
        };
        if (!per_vcpu) {
            add("all", exits_by_reason(vm));
            continue;
        }
        for (const Vcpu& vcpu : vm.vcpus) add(fmt::format("{}", vcpu.id), vcpu.exits);
    }
    for (const Loss& loss : losses(snapshot.lost)) lines.add(loss);
    return std::move(lines).take();
}

}  // namespace exittop
