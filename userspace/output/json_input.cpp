// SPDX-License-Identifier: GPL-2.0-only
// The JSON library throws on bad input; exceptions end here.
#include "output/json_input.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "model/fields.h"
#include "output/json.h"

namespace exittop {

namespace {

using InputJson = nlohmann::json;  // Finds a key fast, however many there are.

constexpr std::size_t largest_text = std::size_t{512} << 20;
constexpr int deepest = 16;  // The schema itself has nine levels.

// What is wrong; caught in from_json().
struct BadInput {
    std::string what;
};

// A value together with its path, for messages: "vms[0].vcpus[1].id".
class Node {
public:
    Node(const InputJson& json, std::string path) : json_(json), path_(std::move(path)) {}

    [[noreturn]] void fail(std::string_view what) const {
        throw BadInput{fmt::format("{}: {}", path_.empty() ? "the text" : path_, what)};
    }

    [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }

    /// Whether it exists and is not null, which means unknown.
    [[nodiscard]] bool has_value(const char* key) const {
        return has(key) && !json_.at(key).is_null();
    }

    [[nodiscard]] Node at(const char* key) const {
        if (!json_.is_object()) fail("must be an object");
        const auto found = json_.find(key);
        if (found == json_.end()) fail(fmt::format("has no \"{}\"", key));
        return {*found, path_.empty() ? key : fmt::format("{}.{}", path_, key)};
    }

    [[nodiscard]] std::vector<Node> elements() const {
        if (!json_.is_array()) fail("must be an array");
        std::vector<Node> nodes;
        nodes.reserve(json_.size());
        for (const InputJson& element : json_) {
            nodes.emplace_back(element, fmt::format("{}[{}]", path_, nodes.size()));
        }
        return nodes;
    }

    [[nodiscard]] std::map<std::string, Node> members() const {
        if (!json_.is_object()) fail("must be an object");
        std::map<std::string, Node> nodes;
        for (const auto& [key, value] : json_.items()) {
            nodes.emplace(key, Node(value, fmt::format("{}.{}", path_, sanitise(key, 40))));
        }
        return nodes;
    }

    [[nodiscard]] std::string text() const {
        if (!json_.is_string()) fail("must be a string");
        return json_.get<std::string>();
    }

    [[nodiscard]] std::string text_or_none(const char* key) const {
        return has(key) ? at(key).text() : std::string{};
    }

    [[nodiscard]] bool boolean() const {
        if (!json_.is_boolean()) fail("must be true or false");
        return json_.get<bool>();
    }

    template <typename Number = std::uint64_t>
    [[nodiscard]] Number number() const {
        constexpr std::uint64_t most = std::numeric_limits<Number>::max();
        if (!json_.is_number_unsigned() || json_.get<std::uint64_t>() > most) {
            fail(fmt::format("must be a whole number from 0 to {}", most));
        }
        return static_cast<Number>(json_.get<std::uint64_t>());
    }

    [[nodiscard]] double seconds() const {
        const double value = json_.is_number() ? json_.get<double>() : -1.0;
        if (!std::isfinite(value) || value < 0.0) fail("must be a number of seconds");
        return value;
    }

    [[nodiscard]] bool is_text() const { return json_.is_string(); }

private:
    const InputJson& json_;
    std::string path_;
};

Isa read_isa(const Node& node) {
    if (!node.is_text()) return static_cast<Isa>(node.number<std::uint32_t>());
    if (const IsaFacts* facts = find_isa(node.text())) return facts->isa;
    node.fail("must be \"vmx\", \"svm\" or a number");
}

Paging read_paging(const Node& node) {
    if (const auto paging = find_paging(node.text())) return *paging;
    node.fail("must be \"ept\", \"npt\", \"shadow\" or \"unknown\"");
}

CountDetail read_detail(const Node& node) {
    if (const auto detail = find_detail(node.text())) return *detail;
    node.fail("must be \"count\", \"time\" or \"histogram\"");
}

GuestLevel read_level(const Node& node) {
    const auto level = node.number<std::uint8_t>();
    if (level != 1 && level != 2) node.fail("must be 1 or 2");
    return static_cast<GuestLevel>(level);
}

// The bucket that ends at `upper`. Ends are exclusive, so it is the bucket of `upper` - 1.
std::size_t read_bucket(const Node& node) {
    const std::uint64_t upper = node.number();
    const std::size_t bucket = upper > 0 ? bucket_of(upper - 1) : 0;
    if (bucket_upper(bucket) != upper) node.fail("is not the end of a histogram bucket");
    return bucket;
}

Histogram read_histogram(const Node& node) {
    Histogram histogram;
    for (const Node& pair : node.elements()) {
        const std::vector<Node> parts = pair.elements();
        if (parts.size() != 2) pair.fail("must be [upper_ns, count]");
        const std::size_t bucket = read_bucket(parts[0]);
        if (bucket < histogram.end_bucket()) parts[0].fail("must be above the one before");
        histogram.add(bucket, parts[1].number());
    }
    return histogram;
}

// Sorts values by their keys, and rejects duplicate keys.
template <typename T, typename Key>
void order_unique(std::vector<T>& values, Key key, const Node& node, std::string_view what) {
    std::ranges::sort(values, {}, key);
    if (std::ranges::adjacent_find(values, {}, key) != values.end()) {
        node.fail(fmt::format("holds the same {} twice", what));
    }
}

TargetSum read_sum(const Node& node, CountDetail detail) {
    TargetSum sum;
    sum.count = node.at("count").number();
    if (detail >= CountDetail::time) sum.time_ns = node.at("time_ns").number();
    return sum;
}

/// What its exits were about. Names are of the version that wrote them: they are found anew.
Targets read_targets(const Node& exit, std::uint64_t exits, CountDetail detail) {
    Targets targets;
    const Node known = exit.at("targets");
    for (const Node& element : known.elements()) {
        TargetStats stats{read_sum(element, detail), element.at("target").text()};
        if (stats.target.empty()) element.at("target").fail("must not be empty");
        targets.known.push_back(std::move(stats));
    }
    order_unique(targets.known, &TargetStats::target, known, "target");
    if (exit.has_value("targets_other")) targets.other = read_sum(exit.at("targets_other"), detail);
    if (exit.has_value("targets_unknown")) {
        const Node unknown = exit.at("targets_unknown");
        targets.unknown = read_sum(unknown, detail);
        if (targets.unknown.count > 0) targets.why = unknown.text_or_none("why");
    }
    if (!can_be_of(targets, exits)) {
        known.fail(fmt::format("hold {} exits, with those that are other or unknown, of {} of "
                               "their reason",
                               sum_of(targets).count, exits));
    }
    return targets;
}

/// Notes in the snapshot which parts of the time are unknown.
ExitStats read_exit(const Node& node, Snapshot& snapshot) {
    ExitStats stats;
    (void)node.at("reason").text();  // The code is sufficient; names change with versions.
    stats.code = node.at("code").number<std::uint32_t>();
    if (node.has("level")) stats.level = read_level(node.at("level"));
    for (const Field& field : fields()) {
        if (field.stored == nullptr || field.needs > snapshot.detail) continue;
        const std::string name(field.data_name);
        if (field.is_time_part() && !node.has_value(name.c_str())) {
            snapshot.known_parts = snapshot.known_parts - field.parts;
        } else {
            stats.*field.stored = node.at(name.c_str()).number();
        }
    }
    if (snapshot.detail >= CountDetail::histogram)
        stats.histogram = read_histogram(node.at("histogram"));
    if (node.has_value("targets")) stats.targets = read_targets(node, stats.count, snapshot.detail);
    return stats;
}

Vcpu read_vcpu(const Node& node, Snapshot& snapshot) {
    Vcpu vcpu;
    vcpu.id = node.at("id").number<std::uint32_t>();
    if (node.has("tid")) vcpu.tid = node.at("tid").number<std::uint32_t>();
    if (node.has("guest_ns")) vcpu.guest_ns = node.at("guest_ns").number();
    if (node.has_value("kvm_exits")) vcpu.kvm_exits = node.at("kvm_exits").number();
    if (node.has("uncounted")) vcpu.uncounted = node.at("uncounted").number();
    const Node exits = node.at("exits");
    for (const Node& element : exits.elements()) {
        vcpu.exits.push_back(read_exit(element, snapshot));
    }
    order_unique(vcpu.exits, key_of, exits, "exit code");
    return vcpu;
}

Vm read_vm(const Node& node, Snapshot& snapshot) {
    Vm vm;
    vm.id = node.at("id").text();
    vm.pid = node.at("pid").number<std::uint32_t>();
    vm.name = node.at("name").text();
    vm.uuid = node.at("uuid").text();
    vm.vmm = node.at("vmm").text();
    vm.isa = read_isa(node.at("isa"));
    vm.paging = read_paging(node.at("paging"));
    if (node.has("ended")) vm.ended = node.at("ended").boolean();
    if (node.has("named")) vm.named = node.at("named").boolean();
    if (node.has("silent")) vm.silent = node.at("silent").boolean();
    vm.vmm_version = node.text_or_none("vmm_version");
    if (node.has("memory_bytes")) vm.memory_bytes = node.at("memory_bytes").number();
    if (node.has("uid")) vm.uid = node.at("uid").number<std::uint32_t>();
    vm.executable = node.text_or_none("executable");
    const Node vcpus = node.at("vcpus");
    for (const Node& element : vcpus.elements()) vm.vcpus.push_back(read_vcpu(element, snapshot));
    order_unique(vm.vcpus, &Vcpu::id, vcpus, "vCPU");
    return vm;
}

HostFacts read_host(const Node& node) {
    HostFacts host;
    host.name = node.text_or_none("name");
    host.kernel = node.at("kernel").text();
    host.cpu = node.at("cpu").text();
    host.isa = read_isa(node.at("isa"));
    host.paging = read_paging(node.at("paging"));
    for (const auto& [name, value] : node.at("parameters").members()) {
        host.parameters[name] = value.text();
    }
    return host;
}

Lost read_lost(const Node& node) {
    Lost lost;
    for (const auto& [name, value] : node.members()) {
        // A cause that this version does not know must not be ignored.
        lost_by(lost, name) = value.number();
    }
    return lost;
}

Cost read_cost(const Node& node) {
    Cost cost;
    cost.cpu_ns = node.at("cpu_ns").number();
    cost.memory_bytes = node.at("memory_bytes").number();
    cost.vcpus_used = node.at("vcpus_used").number<std::uint32_t>();
    cost.vcpus_limit = node.at("vcpus_limit").number<std::uint32_t>();
    if (node.has("target_bytes")) cost.target_bytes = node.at("target_bytes").number();
    if (node.has("bpf_runs")) {
        cost.run_ns = node.at("bpf_run_ns").number();
        cost.runs = node.at("bpf_runs").number();
    }
    return cost;
}

Snapshot read_snapshot(const Node& node) {
    Snapshot snapshot;
    snapshot.taken_at = node.at("taken_at").text();
    snapshot.duration_s = node.at("duration_s").seconds();
    if (node.has("detail")) snapshot.detail = read_detail(node.at("detail"));
    snapshot.attach = node.text_or_none("attach");
    snapshot.host = read_host(node.at("host"));
    const Node vms = node.at("vms");
    std::set<std::string> ids;
    for (const Node& element : vms.elements()) {
        snapshot.vms.push_back(read_vm(element, snapshot));
        if (!ids.insert(snapshot.vms.back().id).second) vms.fail("holds the same id twice");
    }
    clear_unknown_parts(snapshot);
    snapshot.lost = read_lost(node.at("lost"));
    if (node.has("cost")) snapshot.cost = read_cost(node.at("cost"));
    return snapshot;
}

void check_schema(const Node& node) {
    const std::string found = node.text();
    if (found == run_schema) return;
    if (found.starts_with("exittop/")) {
        node.fail(fmt::format("is \"{}\", of another version of exittop; this one reads \"{}\"",
                              sanitise(found, 40), run_schema));
    }
    node.fail(fmt::format("must be \"{}\"", run_schema));
}

Run read_run(const Node& node) {
    check_schema(node.at("schema"));
    Run run;
    run.label = node.text_or_none("label");
    run.note = node.text_or_none("note");
    if (node.has("command")) {
        for (const Node& word : node.at("command").elements()) run.command.push_back(word.text());
    }
    run.version = node.text_or_none("version");
    run.started_at = node.text_or_none("started_at");
    run.imported_from = node.text_or_none("imported_from");
    run.repeats.push_back(read_snapshot(node));
    if (node.has("repeats")) {
        for (const Node& repeat : node.at("repeats").elements()) {
            run.repeats.push_back(read_snapshot(repeat));
        }
    }
    return run;
}

// Parses, and checks what the library does not: depth and duplicate keys.
InputJson parse_strictly(std::string_view text) {
    std::vector<std::set<std::string>> open_objects;
    const auto watch = [&open_objects](int depth, InputJson::parse_event_t event,
                                       const InputJson& parsed) {
        if (depth > deepest) throw BadInput{fmt::format("nested deeper than {} levels", deepest)};
        if (event == InputJson::parse_event_t::object_start) open_objects.emplace_back();
        if (event == InputJson::parse_event_t::object_end) open_objects.pop_back();
        if (event == InputJson::parse_event_t::key) {
            const auto key = parsed.get<std::string>();
            if (!open_objects.back().insert(key).second) {
                throw BadInput{fmt::format("the key \"{}\" comes twice", sanitise(key, 40))};
            }
        }
        return true;
    };
    return InputJson::parse(text, watch);
}

// The library's message without its prefix.
std::string parser_message(std::string_view what) {
    const std::size_t end = what.find("] ");
    return "not JSON: " + sanitise(end == what.npos ? what : what.substr(end + 2), 200);
}

}  // namespace

std::expected<Run, std::string> from_json(std::string_view text) {
    if (text.size() > largest_text) return std::unexpected("larger than 512 MiB");
    try {
        const InputJson json = parse_strictly(text);
        return read_run(Node(json, ""));
    } catch (const BadInput& bad) {
        return std::unexpected(bad.what);
    } catch (const InputJson::exception& error) {
        return std::unexpected(parser_message(error.what()));
    }
}

}  // namespace exittop
