// SPDX-License-Identifier: GPL-2.0-only
#include "output/prometheus.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace exittop {

namespace {

struct MetricFamily {
    const char* name;
    const char* type;
    const char* help;
};

// All families, in the order in which they are written.
constexpr std::array families = {
    MetricFamily{"exittop_vm_exits_total", "counter", "VM exits by reason, since exittop started."},
    MetricFamily{"exittop_vm_exit_seconds_total", "counter",
                 "Time from VM exit to the vCPU's next VM entry by reason: in the kernel or the "
                 "VMM, polled, preempted, halted or blocked."},
    MetricFamily{"exittop_vm_exit_duration_seconds", "histogram",
                 "Distribution of the time from VM exit to the vCPU's next VM entry by reason."},
    MetricFamily{"exittop_vm_target_exits_total", "counter",
                 "Completed VM exits by reason and target: which MSR, port, address, leaf, since "
                 "exittop started."},
    MetricFamily{"exittop_vm_vmm_seconds_total", "counter",
                 "The part of the exits' time that was spent on a CPU in the VMM (user space)."},
    MetricFamily{"exittop_vm_polled_seconds_total", "counter",
                 "The part of the exits' time in which KVM's halt polling kept a CPU busy; no "
                 "series where it is not known."},
    MetricFamily{"exittop_vm_preempted_seconds_total", "counter",
                 "The part of the exits' time in which the vCPU's thread was runnable and waited "
                 "for a CPU; no series where it is not known."},
    MetricFamily{"exittop_vm_halted_seconds_total", "counter",
                 "The part of the exits' time in which the vCPU was asleep in HLT; neither polling "
                 "nor waiting for a CPU."},
    MetricFamily{"exittop_vm_blocked_seconds_total", "counter",
                 "The part of the exits' time in which the vCPU's thread was asleep other than in "
                 "HLT, as for a disk; no series where it is not known."},
    MetricFamily{"exittop_vm_guest_seconds_total", "counter",
                 "Time that the vCPUs spent in the guest."},
    MetricFamily{"exittop_vm_exit_time_ratio", "gauge",
                 "Share of the vCPUs' time on a CPU, in the guest or in exits, that went to exits "
                 "since the last update, 0 to 1."},
    MetricFamily{"exittop_vm_untraced_exits_total", "counter",
                 "Exits that KVM counted itself and did not trace: in no count but this and "
                 "exittop_lost_total; no series where KVM's own count is not known."},
    MetricFamily{"exittop_vm_uncounted_exits_total", "counter",
                 "Exits of vCPUs that found no room in exittop's table (--max-vcpus): in no count "
                 "but this and exittop_lost_total; no series where there are none."},
    MetricFamily{"exittop_vm_vcpus", "gauge", "vCPUs of the VM that ran since exittop saw it."},
    MetricFamily{"exittop_vm_info", "gauge",
                 "Who the VM is: the VMM's pid and name, its uuid, isa (vmx, svm), paging (ept, "
                 "npt, shadow), and the Kubernetes pod it runs in."},
    MetricFamily{"exittop_vcpu_exits_total", "counter",
                 "VM exits by vCPU and reason, since exittop started."},
    MetricFamily{"exittop_vcpu_exit_seconds_total", "counter",
                 "Time from VM exit to the next VM entry by vCPU and reason."},
    MetricFamily{"exittop_vcpu_guest_seconds_total", "counter",
                 "Time that the vCPU spent in the guest."},
    MetricFamily{"exittop_host_info", "gauge",
                 "The host's kernel and CPU, its isa (vmx, svm), and the paging of new VMs."},
    MetricFamily{"exittop_host_parameter_info", "gauge",
                 "Parameters of the kvm modules that change what exits cost."},
    MetricFamily{"exittop_attach_info", "gauge",
                 "Which kind of tracepoint exittop attached to; see exittop(8)."},
    MetricFamily{"exittop_slots_used", "gauge", "vCPUs that have a place in exittop's table."},
    MetricFamily{"exittop_slots_limit", "gauge",
                 "vCPUs there is room for (--max-vcpus); exits of more are lost as table_full."},
    MetricFamily{"exittop_kernel_memory_bytes", "gauge",
                 "Kernel memory of exittop's table, allocated at its start."},
    MetricFamily{"exittop_bpf_run_seconds_total", "counter",
                 "Time in exittop's BPF programs while the kernel measured it (--measure, or "
                 "kernel.bpf_stats_enabled)."},
    MetricFamily{"exittop_bpf_runs_total", "counter",
                 "Runs of exittop's BPF programs while the kernel measured their time."},
    MetricFamily{"exittop_cpu_seconds_total", "counter",
                 "CPU time of exittop's own process, user and system."},
    MetricFamily{"exittop_lost_total", "counter",
                 "What could not be counted in full, by cause; see exittop(8)."},
    MetricFamily{"exittop_counting", "gauge",
                 "1: counts exits; 0: waits for kvm_intel or kvm_amd to be loaded."},
    MetricFamily{"exittop_write_errors_total", "counter",
                 "Updates of this file that failed since exittop started."},
    MetricFamily{"exittop_last_update_timestamp_seconds", "gauge",
                 "When this was written, in seconds since 1970."},
    MetricFamily{"exittop_build_info", "gauge", "The version of exittop."},
};

// Upper bounds of the histograms' buckets in nanoseconds: from 512 ns to 1.07 s, doubling where
// most exits are, by four above a millisecond. All are bounds of exittop's own buckets, so that the
// counts are exact, except that exits of exactly that time belong to the next bucket.
constexpr std::array<std::uint64_t, 17> bucket_bounds = {
    1 << 9,  1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17,
    1 << 18, 1 << 19, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30};

std::string escaped(std::string_view label_value) {
    std::string out;
    out.reserve(label_value.size());
    for (const char c : label_value) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') out += '\\';
        out += c;
    }
    return out;
}

// Untrusted text as a label's value.
std::string foreign(std::string_view bytes) { return escaped(sanitise(bytes, label_columns)); }

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Nanoseconds as seconds with all digits; a floating-point number would soon be too imprecise.
void append_seconds(std::string& out, std::uint64_t ns) {
    constexpr std::uint64_t per_second = 1'000'000'000;
    fmt::format_to(std::back_inserter(out), "{}.{:09}\n", ns / per_second, ns % per_second);
}

void append_count(std::string& out, std::uint64_t count) {
    fmt::format_to(std::back_inserter(out), "{}\n", count);
}

// The beginning of a series' labels (vm="web"), escaped once for all families, and what it is of.
template <typename T>
struct Labelled {
    std::string labels;
    const T* of;
};
using LabelledVms = std::vector<Labelled<VmSeries>>;
using LabelledVcpus = std::vector<Labelled<VcpuSeries>>;
using LabelledExits = std::vector<Labelled<ExitStats>>;
using LabelledTargets = std::vector<Labelled<TargetSeries>>;

LabelledVms label_vms(std::span<const VmSeries> vms) {
    LabelledVms all;
    for (const VmSeries& vm : vms)
        all.push_back({fmt::format("vm=\"{}\"", escaped(vm.label)), &vm});
    return all;
}

LabelledVcpus label_vcpus(const LabelledVms& vms) {
    LabelledVcpus all;
    for (const auto& [labels, vm] : vms) {
        for (const VcpuSeries& vcpu : vm->by_vcpu) {
            all.push_back({fmt::format("{},vcpu=\"{}\"", labels, vcpu.id), &vcpu});
        }
    }
    return all;
}

// The reasons of VMs or vCPUs.
LabelledExits label_reasons(const auto& all) {
    LabelledExits exits;
    for (const auto& [labels, of] : all) {
        for (const ReasonSeries& reason : of->reasons) {
            exits.push_back(
                {fmt::format("{},reason=\"{}\"", labels, escaped(reason.label)), &reason.exits});
        }
    }
    return exits;
}

LabelledTargets label_targets(const LabelledVms& vms) {
    LabelledTargets all;
    for (const auto& [labels, vm] : vms) {
        for (const ReasonSeries& reason : vm->reasons) {
            for (const TargetSeries& target : reason.targets) {
                all.push_back({fmt::format("{},reason=\"{}\",target=\"{}\"", labels,
                                           escaped(reason.label), escaped(target.label)),
                               &target});
            }
        }
    }
    return all;
}

class Writer {
public:
    void begin(std::string_view name) {
        const auto family = std::ranges::find(families, name, &MetricFamily::name);
        name_ = name;
        fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, family->help,
                       name, family->type);
    }

    // The start of a sample's line, up to its value.
    void series(std::string_view labels, std::string_view suffix = {},
                std::string_view last_label = {}) {
        out += name_;
        out += suffix;
        if (!labels.empty()) {
            out += '{';
            out += labels;
            out += last_label;
            out += '}';
        }
        out += ' ';
    }

    void count(std::string_view labels, std::uint64_t value) {
        series(labels);
        append_count(out, value);
    }
    void time(std::string_view labels, std::uint64_t ns) {
        series(labels);
        append_seconds(out, ns);
    }
    void number(std::string_view labels, double value) {
        series(labels);
        fmt::format_to(std::back_inserter(out), "{}\n", value);
    }

    // A family with a single series without labels.
    void only_count(std::string_view name, std::uint64_t value) {
        begin(name);
        count("", value);
    }
    void only_time(std::string_view name, std::uint64_t ns) {
        begin(name);
        time("", ns);
    }

    // A family with a series for each.
    void counts(std::string_view name, const auto& all, auto count_of) {
        begin(name);
        for (const auto& [labels, of] : all) count(labels, std::invoke(count_of, *of));
    }
    void times(std::string_view name, const auto& all, auto ns_of) {
        begin(name);
        for (const auto& [labels, of] : all) time(labels, std::invoke(ns_of, *of));
    }

    std::string out;

private:
    std::string_view name_;
};

// The buckets' labels, to stand after others.
const std::vector<std::string>& bound_labels() {
    static const std::vector<std::string> labels = [] {
        std::vector<std::string> all;
        for (const std::uint64_t bound : bucket_bounds) {
            all.push_back(fmt::format(",le=\"{}\"", seconds(bound)));
        }
        return all;
    }();
    return labels;
}

void write_histogram(Writer& writer, const std::string& labels, const ExitStats& exits) {
    const Histogram& histogram = exits.histogram;
    std::uint64_t below = 0;
    std::size_t bucket = histogram.first_bucket();
    for (std::size_t i = 0; i < bucket_bounds.size(); ++i) {
        while (bucket < histogram.end_bucket() && bucket_upper(bucket) <= bucket_bounds[i]) {
            below += histogram.at(bucket++);
        }
        writer.series(labels, "_bucket", bound_labels()[i]);
        append_count(writer.out, below);
    }
    const std::uint64_t total = histogram.total();
    writer.series(labels, "_bucket", ",le=\"+Inf\"");
    append_count(writer.out, total);
    writer.series(labels, "_sum");
    append_seconds(writer.out, exits.time_ns);
    writer.series(labels, "_count");
    append_count(writer.out, total);
}

void write_reasons(Writer& writer, const LabelledExits& reasons, CountDetail detail) {
    writer.counts("exittop_vm_exits_total", reasons, &ExitStats::count);
    if (detail < CountDetail::time) return;
    writer.times("exittop_vm_exit_seconds_total", reasons, &ExitStats::time_ns);
    if (detail < CountDetail::histogram) return;
    writer.begin("exittop_vm_exit_duration_seconds");
    for (const auto& [labels, exits] : reasons) write_histogram(writer, labels, *exits);
}

// Only if targets are counted.
void write_targets(Writer& writer, const LabelledTargets& targets) {
    if (targets.empty()) return;
    writer.counts("exittop_vm_target_exits_total", targets, &TargetSeries::count);
}

std::string info_labels(const std::string& labels, const VmInfo& vm) {
    return fmt::format(
        "{},uuid=\"{}\",pid=\"{}\",vmm=\"{}\",isa=\"{}\",paging=\"{}\",namespace=\"{}\",pod=\"{}\","
        "pod_uid=\"{}\",uid=\"{}\",exe=\"{}\"",
        labels, foreign(vm.uuid), vm.pid, foreign(vm.vmm), isa_name(vm.isa), paging_name(vm.paging),
        foreign(vm.pod.name_space), foreign(vm.pod.name), foreign(vm.pod.uid),
        vm.uid ? fmt::format("{}", *vm.uid) : "", foreign(vm.executable));
}

struct PartFamily {
    const char* name;
    TimePart part;
    std::uint64_t ExitStats::* ns;
};
constexpr std::array part_families = {
    PartFamily{"exittop_vm_vmm_seconds_total", TimePart::vmm, &ExitStats::vmm_ns},
    PartFamily{"exittop_vm_polled_seconds_total", TimePart::polled, &ExitStats::polled_ns},
    PartFamily{"exittop_vm_preempted_seconds_total", TimePart::preempted, &ExitStats::preempted_ns},
    PartFamily{"exittop_vm_halted_seconds_total", TimePart::halted, &ExitStats::halted_ns},
    PartFamily{"exittop_vm_blocked_seconds_total", TimePart::blocked, &ExitStats::blocked_ns},
};

void write_times(Writer& writer, const LabelledVms& vms, TimeParts known) {
    for (const PartFamily& family : part_families) {
        if (!known.contains(family.part)) continue;
        writer.times(family.name, vms,
                     [&family](const VmSeries& vm) { return vm.exits.*family.ns; });
    }
    writer.times("exittop_vm_guest_seconds_total", vms, &VmSeries::guest_ns);
    if (!knows_on_cpu(known)) return;
    writer.begin("exittop_vm_exit_time_ratio");
    for (const auto& [labels, vm] : vms) writer.number(labels, vm->exit_ratio);
}

void write_untraced(Writer& writer, const LabelledVms& vms) {
    writer.begin("exittop_vm_untraced_exits_total");
    for (const auto& [labels, vm] : vms) {
        if (vm->untraced) writer.count(labels, *vm->untraced);
    }
}

/// Only for VMs that have some: for all others it would be a series without information.
void write_uncounted(Writer& writer, LabelledVms vms) {
    std::erase_if(vms, [](const auto& each) { return each.of->uncounted == 0; });
    if (!vms.empty()) writer.counts("exittop_vm_uncounted_exits_total", vms, &VmSeries::uncounted);
}

void write_vms(Writer& writer, const LabelledVms& vms) {
    writer.counts("exittop_vm_vcpus", vms, &VmSeries::vcpus);
    writer.begin("exittop_vm_info");
    for (const auto& [labels, vm] : vms) writer.count(info_labels(labels, vm->identity), 1);
}

void write_vcpus(Writer& writer, const LabelledVcpus& vcpus, CountDetail detail) {
    const LabelledExits reasons = label_reasons(vcpus);
    writer.counts("exittop_vcpu_exits_total", reasons, &ExitStats::count);
    if (detail < CountDetail::time) return;
    writer.times("exittop_vcpu_exit_seconds_total", reasons, &ExitStats::time_ns);
    writer.times("exittop_vcpu_guest_seconds_total", vcpus, &VcpuSeries::guest_ns);
}

void write_host(Writer& writer, const HostFacts& host) {
    writer.begin("exittop_host_info");
    writer.count(fmt::format("kernel=\"{}\",cpu=\"{}\",isa=\"{}\",paging=\"{}\"",
                             foreign(host.kernel), foreign(host.cpu), isa_name(host.isa),
                             paging_name(host.paging)),
                 1);
    writer.begin("exittop_host_parameter_info");
    for (const auto& [name, value] : host.parameters) {
        if (!affects_exit_cost(name)) continue;
        writer.count(fmt::format("parameter=\"{}\",value=\"{}\"", foreign(name), foreign(value)),
                     1);
    }
}

// Empty while exittop waits for the module.
void write_attach(Writer& writer, const std::string& attach) {
    if (attach.empty()) return;
    writer.begin("exittop_attach_info");
    writer.count(fmt::format("attach=\"{}\"", foreign(attach)), 1);
}

void write_cost(Writer& writer, const Cost& cost) {
    writer.only_count("exittop_slots_used", cost.vcpus_used);
    writer.only_count("exittop_slots_limit", cost.vcpus_limit);
    writer.only_count("exittop_kernel_memory_bytes", cost.memory_bytes);
    writer.only_time("exittop_bpf_run_seconds_total", cost.run_ns);
    writer.only_count("exittop_bpf_runs_total", cost.runs);
    writer.only_time("exittop_cpu_seconds_total", cost.cpu_ns);
}

void write_own(Writer& writer, const Lost& lost, const ExporterFacts& facts) {
    writer.begin("exittop_lost_total");
    for (const LostCause& cause : lost_causes()) {
        writer.count(fmt::format("cause=\"{}\"", cause.name), lost.*cause.value);
    }
    writer.only_count("exittop_counting", facts.counting ? 1 : 0);
    writer.only_count("exittop_write_errors_total", facts.write_errors);
    writer.begin("exittop_last_update_timestamp_seconds");
    writer.number("", facts.unix_time_s);
    writer.begin("exittop_build_info");
    writer.count("version=\"" EXITTOP_VERSION "\"", 1);
}

}  // namespace

std::string prometheus_text(const SnapshotInfo& snapshot, std::span<const VmSeries> vms,
                            const ExporterFacts& facts) {
    const LabelledVms labelled = label_vms(vms);
    const LabelledVcpus vcpus = label_vcpus(labelled);
    Writer writer;
    write_reasons(writer, label_reasons(labelled), snapshot.detail);
    write_targets(writer, label_targets(labelled));
    if (snapshot.detail >= CountDetail::time) write_times(writer, labelled, snapshot.known_parts);
    write_untraced(writer, labelled);
    write_uncounted(writer, labelled);
    write_vms(writer, labelled);
    if (!vcpus.empty()) write_vcpus(writer, vcpus, snapshot.detail);
    write_host(writer, snapshot.host);
    write_attach(writer, snapshot.attach);
    write_cost(writer, snapshot.cost);
    write_own(writer, snapshot.lost, facts);
    return std::move(writer.out);
}

}  // namespace exittop
