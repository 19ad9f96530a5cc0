// SPDX-License-Identifier: GPL-2.0-only
// Columns: what says whose exits these are, then the fields that have a place among them.
#include "output/csv.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "model/fields.h"

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

std::string heading_line() {
    std::vector<std::string> cells = {"vm",  "pid",    "vmm",   "uuid",   "vcpu",
                                      "isa", "paging", "level", "reason", "code"};
    for (const Field* field : data_fields) cells.emplace_back(field->data_name);
    cells.emplace_back("ended");
    return csv_line(cells);
}

std::string exit_line(const Vm& vm, const std::string& vcpu, const ExitStats& stats,
                      const Snapshot& snapshot) {
    std::vector<std::string> cells = {csv_foreign(vm.name),
                                      fmt::format("{}", vm.pid),
                                      csv_foreign(vm.vmm),
                                      csv_foreign(vm.uuid),
                                      vcpu,
                                      isa_name(vm.isa),
                                      paging_name(vm.paging),
                                      fmt::format("{}", static_cast<int>(stats.level)),
                                      exit_reason_name(vm.isa, stats.code),
                                      fmt::format("{}", stats.code)};
    for (const Field* field : data_fields) {
        const bool known = is_known(*field, snapshot);
        cells.push_back(known ? plain_value(field->value(stats, {.isa = vm.isa})) : "");
    }
    cells.emplace_back(vm.ended ? "1" : "0");
    return csv_line(cells);
}

std::string lost_line(const Loss& loss) {
    std::vector<std::string> cells(10 + data_fields.size() + 1);
    cells[8] = fmt::format("lost:{}", loss.cause);
    cells[10] = fmt::format("{}", loss.count);
    return csv_line(cells);
}

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
    std::string out = heading_line();
    for (const Vm& vm : snapshot.vms) {
        const auto add = [&](const std::string& vcpu, const std::vector<ExitStats>& exits) {
            for (const ExitStats& stats : exits) out += exit_line(vm, vcpu, stats, snapshot);
        };
        if (!per_vcpu) {
            add("all", exits_by_reason(vm));
            continue;
        }
        for (const Vcpu& vcpu : vm.vcpus) add(fmt::format("{}", vcpu.id), vcpu.exits);
    }
    for (const Loss& loss : losses(snapshot.lost)) out += lost_line(loss);
    return out;
}

}  // namespace exittop
