// SPDX-License-Identifier: GPL-2.0-only
#include "output/json.h"

#include <optional>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "model/fields.h"
#include "model/target_name.h"
#include "output/comparison_text.h"

namespace exittop {

namespace {

using Json = nlohmann::ordered_json;  // Keys in the order in which people read them.

constexpr std::string_view comparison_schema = "exittop-comparison/1";
constexpr std::string_view reasons_schema = "exittop-reasons/1";

// An array of what `make` makes of each value.
Json array_of(const auto& values, auto make) {
    Json array = Json::array();
    for (const auto& value : values) array.push_back(make(value));
    return array;
}

Json isa_json(Isa isa) {
    if (const IsaFacts* facts = find_isa(isa)) return facts->name;
    return static_cast<std::uint32_t>(isa);
}

Json histogram_json(const Histogram& histogram) {
    Json pairs = Json::array();
    for (std::size_t i = histogram.first_bucket(); i < histogram.end_bucket(); ++i) {
        if (histogram.at(i) > 0) pairs.push_back(Json::array({bucket_upper(i), histogram.at(i)}));
    }
    return pairs;
}

Json sum_json(const TargetSum& sum, const Snapshot& snapshot) {
    Json object = {{"count", sum.count}};
    if (snapshot.detail >= CountDetail::time) object["time_ns"] = sum.time_ns;
    return object;
}

void add_targets(Json& object, const ExitStats& stats, Isa isa, const Snapshot& snapshot) {
    if (!stats.targets) return;
    object["targets"] = array_of(dearest_first(*stats.targets), [&](const TargetStats& one) {
        Json target = {{"target", one.target}, {"name", target_name(isa, stats.code, one.target)}};
        target.update(sum_json(one, snapshot));
        return target;
    });
    object["targets_other"] = sum_json(stats.targets->other, snapshot);
    object["targets_unknown"] = sum_json(stats.targets->unknown, snapshot);
    if (stats.targets->unknown.count > 0) object["targets_unknown"]["why"] = stats.targets->why;
}

Json exit_json(const ExitStats& stats, Isa isa, const Snapshot& snapshot) {
    Json object = {{"reason", exit_reason_name(isa, stats.code)},
                   {"code", stats.code},
                   {"level", static_cast<int>(stats.level)}};
    for (const Field& field : fields()) {
        if (field.stored == nullptr || field.needs > snapshot.detail) continue;
        object[std::string(field.data_name)] =
            is_known(field, snapshot) ? Json(stats.*field.stored) : Json(nullptr);
    }
    if (snapshot.detail >= CountDetail::histogram)
        object["histogram"] = histogram_json(stats.histogram);
    add_targets(object, stats, isa, snapshot);
    return object;
}

Json vcpu_json(const Vcpu& vcpu, Isa isa, const Snapshot& snapshot) {
    Json object = {{"id", vcpu.id}, {"tid", vcpu.tid}};
    if (snapshot.detail >= CountDetail::time) object["guest_ns"] = vcpu.guest_ns;
    object["kvm_exits"] = vcpu.kvm_exits ? Json(*vcpu.kvm_exits) : Json(nullptr);
    if (vcpu.uncounted > 0) object["uncounted"] = vcpu.uncounted;
    object["exits"] =
        array_of(vcpu.exits, [&](const auto& stats) { return exit_json(stats, isa, snapshot); });
    return object;
}

// Members that are written only if something is known.
void add_known(Json& object, const char* key, const std::string& value) {
    if (!value.empty()) object[key] = value;
}

Json vm_json(const Vm& vm, const Snapshot& snapshot) {
    Json object = {{"id", vm.id},
                   {"pid", vm.pid},
                   {"name", cut_bytes(vm.name, name_bytes)},
                   {"uuid", vm.uuid},
                   {"vmm", cut_bytes(vm.vmm, name_bytes)},
                   {"isa", isa_json(vm.isa)},
                   {"paging", paging_name(vm.paging)},
                   {"ended", vm.ended}};
    if (!vm.named) object["named"] = false;
    if (vm.silent) object["silent"] = true;
    add_known(object, "vmm_version", vm.vmm_version);
    if (vm.memory_bytes > 0) object["memory_bytes"] = vm.memory_bytes;
    if (vm.uid) object["uid"] = *vm.uid;
    add_known(object, "executable", vm.executable);
    object["vcpus"] =
        array_of(vm.vcpus, [&](const Vcpu& vcpu) { return vcpu_json(vcpu, vm.isa, snapshot); });
    return object;
}

Json host_json(const HostFacts& host) {
    return {{"name", cut_bytes(host.name, name_bytes)},
            {"kernel", host.kernel},
            {"cpu", host.cpu},
            {"isa", isa_json(host.isa)},
            {"paging", paging_name(host.paging)},
            {"parameters", host.parameters}};
}

Json lost_json(const Lost& lost) {
    Json object = Json::object();
    for (const LostCause& cause : lost_causes()) object[cause.name] = lost.*cause.value;
    for (const auto& [cause, count] : lost.unknown) object[cause] = count;
    return object;
}

Json cost_json(const Cost& cost) {
    Json object = {{"cpu_ns", cost.cpu_ns},
                   {"memory_bytes", cost.memory_bytes},
                   {"vcpus_used", cost.vcpus_used},
                   {"vcpus_limit", cost.vcpus_limit}};
    if (cost.target_bytes > 0) object["target_bytes"] = cost.target_bytes;
    if (cost.runs > 0) {  // Else the kernel did not measure.
        object["bpf_run_ns"] = cost.run_ns;
        object["bpf_runs"] = cost.runs;
    }
    return object;
}

void add_snapshot(Json& object, const Snapshot& snapshot) {
    object["taken_at"] = snapshot.taken_at;
    object["duration_s"] = snapshot.duration_s;
    if (snapshot.detail < CountDetail::histogram) object["detail"] = detail_name(snapshot.detail);
    add_known(object, "attach", snapshot.attach);
    object["host"] = host_json(snapshot.host);
    object["vms"] = array_of(snapshot.vms, [&](const Vm& vm) { return vm_json(vm, snapshot); });
    object["lost"] = lost_json(snapshot.lost);
    object["cost"] = cost_json(snapshot.cost);
}

template <typename Number>
void add_known(Json& object, const char* key, const std::optional<Number>& value) {
    if (value) object[key] = *value;
}

Json cell_json(const std::string& label, const Cell& cell) {
    Json object = {{"run", label}, {"count", cell.count}, {"value", cell.value}};
    add_known(object, "spread", cell.spread);
    if (cell.values.size() > 1) object["values"] = cell.values;
    for (const auto& [field, value] : costs_of(cell)) {
        const std::string name(field->data_name);
        if (const auto* real = std::get_if<double>(&value)) object[name] = *real;
        if (const auto* whole = std::get_if<std::uint64_t>(&value)) object[name] = *whole;
    }
    if (!cell.histogram.empty()) object["histogram"] = histogram_json(cell.histogram);
    if (!cell.versus) return object;
    object["delta"] = cell.versus->delta;
    add_known(object, "ratio", cell.versus->ratio);
    if (cell.versus->change != Change::none) object["change"] = change_name(cell.versus->change);
    add_known(object, "p_value", cell.versus->p_value);
    if (cell.versus->p_value) object["beyond_noise"] = cell.versus->beyond_noise;
    return object;
}

Json cells_json(const Comparison& comparison, const ReasonRow& row) {
    Json cells = Json::array();
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
        cells.push_back(cell_json(comparison.runs[i].label, row.cells[i]));
    }
    return cells;
}

// In the order of the runs; null where it is not known.
Json cells_json(const Comparison& comparison, const TargetRow& row) {
    Json cells = Json::array();
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
        cells.push_back(row.cells[i] ? cell_json(comparison.runs[i].label, *row.cells[i])
                                     : Json(nullptr));
    }
    return cells;
}

void add_targets(Json& object, const Comparison& comparison, const ReasonRow& row) {
    if (row.targets.empty()) return;
    object["targets"] = Json::array();
    for (const TargetRow& target : row.targets) {
        Json cells = cells_json(comparison, target);
        switch (target.kind) {
            case TargetRow::Kind::known:
                object["targets"].push_back(
                    {{"target", target.target},
                     {"name", target_name(row.isa, row.code, target.target)},
                     {"runs", std::move(cells)}});
                break;
            case TargetRow::Kind::other:
                object["targets_other"] = {{"runs", std::move(cells)}};
                break;
            case TargetRow::Kind::unknown:
                object["targets_unknown"] = {{"why", target.why}, {"runs", std::move(cells)}};
                break;
        }
    }
}

Json summary_json(const RunSummary& run) {
    Json facts = Json::object();
    for (const Fact& fact : run.facts) add_known(facts, fact.name.c_str(), fact.value);
    Json object = {{"label", run.label}, {"repeats", run.repeats}, {"duration_s", run.duration_s}};
    for (const MeanTime& part : run.times) {
        object[std::string(part.data_name)] = part.ns ? Json(*part.ns) : Json(nullptr);
    }
    object["facts"] = std::move(facts);
    object["parameters"] = run.parameters;
    object["lost"] = lost_json(run.lost);
    return object;
}

Json reason_json(const ExitReason& reason) {
    return {{"isa", isa_json(reason.isa)}, {"code", reason.code}, {"reason", reason.name}};
}

std::string print(const Json& object) {
    constexpr bool ascii_only = true;  // `cat` of a file must not control the terminal.
    return object.dump(-1, ' ', ascii_only, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string to_json(const Snapshot& snapshot) {
    Json object = {{"schema", run_schema}};
    add_snapshot(object, snapshot);
    return print(object);
}

std::string to_json(const Run& run) {
    Json object = {{"schema", run_schema}};
    add_known(object, "label", run.label);
    add_known(object, "note", run.note);
    if (!run.command.empty()) object["command"] = run.command;
    add_known(object, "version", run.version);
    add_known(object, "started_at", run.started_at);
    add_known(object, "imported_from", run.imported_from);
    add_snapshot(object, run.repeats.front());
    for (const Snapshot& repeat : std::span(run.repeats).subspan(1)) {
        Json repeated = Json::object();
        add_snapshot(repeated, repeat);
        object["repeats"].push_back(std::move(repeated));
    }
    return print(object);
}

std::string to_json(const Comparison& comparison) {
    Json object = {{"schema", comparison_schema}, {"basis", basis_name(comparison.basis)}};
    object["runs"] = array_of(comparison.runs, summary_json);
    object["reasons"] = array_of(comparison.rows, [&](const ReasonRow& row) {
        Json reason = {{"reason", exit_reason_name(row.isa, row.code)},
                       {"isa", isa_json(row.isa)},
                       {"level", static_cast<int>(row.level)},
                       {"code", row.code},
                       {"explanation", row.explanation},
                       {"runs", cells_json(comparison, row)}};
        add_targets(reason, comparison, row);
        return reason;
    });
    object["total"] = cells_json(comparison, comparison.total);
    object["warnings"] = array_of(comparison.warnings, [](const Warning& warning) {
        return Json{{"name", warning.name}, {"text", warning.text}};
    });
    return print(object);
}

std::string to_json(const ReasonRows& rows) {
    Json object = {{"schema", reasons_schema}};
    object["reasons"] = array_of(rows, [](const ExitReason* reason) {
        Json each = reason_json(*reason);
        each["meaning"] = reason->meaning;
        each["advice"] = reason->advice;
        return each;
    });
    return print(object);
}

std::string targets_to_json(const ReasonRows& rows) {
    Json object = {{"schema", reasons_schema}};
    object["reasons"] = array_of(rows, [](const ExitReason* reason) {
        Json each = reason_json(*reason);
        each["kind"] = target_kind_key(target_kind(reason->isa, reason->code));
        each["targets"] =
            array_of(known_targets(reason->isa, reason->code), [](const KnownTarget& known) {
                return Json{{"target", known.target}, {"name", known.name}};
            });
        return each;
    });
    return print(object);
}

}  // namespace exittop
