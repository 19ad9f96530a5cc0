// SPDX-License-Identifier: GPL-2.0-only
#include "output/prometheus.h"

#include <algorithm>
#include <array>
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
                 "Time from VM exit to the vCPU's next VM entry by reason: in the kernel, in the "
                 "VMM, halted or preempted."},
    MetricFamily{"exittop_vm_exit_duration_seconds", "histogram",
                 "Distribution of the time from VM exit to the vCPU's next VM entry by reason."},
    MetricFamily{"exittop_vm_target_exits_total", "counter",
                 "Completed VM exits by reason and target: which MSR, port, address, leaf, since "
                 "exittop started."},
    MetricFamily{"exittop_vm_vmm_seconds_total", "counter",
                 "The part of the exits' time that was spent in the VMM (user space)."},
    MetricFamily{"exittop_vm_halted_seconds_total", "counter",
                 "The part of the exits' time in which the vCPU was halted and waited for an "
                 "event."},
    MetricFamily{"exittop_vm_guest_seconds_total", "counter",
                 "Time that the vCPUs spent in the guest."},
    MetricFamily{"exittop_vm_exit_time_ratio", "gauge",
                 "Share of the vCPUs' time, halted time left out, that went to exits since the "
                 "last update, 0 to 1."},
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

// A VM with the beginnings of its series' labels, escaped once for all families.
struct LabelledVm {
    const VmSeries* vm;
    std::string label;                 // vm="web"
    std::vector<std::string> reasons;  // vm="web",reason="npf"
};

std::vector<LabelledVm> label(std::span<const VmSeries> vms) {
    std::vector<LabelledVm> all;
    all.reserve(vms.size());
    for (const VmSeries& vm : vms) {
        LabelledVm labelled{&vm, fmt::format("vm=\"{}\"", escaped(vm.label)), {}};
        for (const ReasonSeries& reason : vm.reasons) {
            labelled.reasons.push_back(
                fmt::format("{},reason=\"{}\"", labelled.label, escaped(reason.label)));
        }
        all.push_back(std::move(labelled));
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
    void only_number(std::string_view name, double value) {
        begin(name);
        number("", value);
    }

    std::string out;

private:
    std::string_view name_;
};

using Vms = std::span<const LabelledVm>;

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

void for_each_reason(Vms vms, auto write) {
    for (const LabelledVm& labelled : vms) {
        for (std::size_t i = 0; i < labelled.reasons.size(); ++i) {
            write(labelled.reasons[i], labelled.vm->reasons[i].exits);
        }
    }
}

void write_reasons(Writer& writer, Vms vms, CountDetail detail) {
    writer.begin("exittop_vm_exits_total");
    for_each_reason(vms, [&](const std::string& labels, const ExitStats& exits) {
        writer.count(labels, exits.count);
    });
    if (detail < CountDetail::time) return;
    writer.begin("exittop_vm_exit_seconds_total");
    for_each_reason(vms, [&](const std::string& labels, const ExitStats& exits) {
        writer.time(labels, exits.time_ns);
    });
    if (detail < CountDetail::histogram) return;
    writer.begin("exittop_vm_exit_duration_seconds");
    for_each_reason(vms, [&](const std::string& labels, const ExitStats& exits) {
        write_histogram(writer, labels, exits);
    });
}

void write_targets(Writer& writer, Vms vms) {
    bool has_begun = false;
    for (const LabelledVm& labelled : vms) {
        for (std::size_t i = 0; i < labelled.reasons.size(); ++i) {
            for (const TargetSeries& target : labelled.vm->reasons[i].targets) {
                if (!std::exchange(has_begun, true)) writer.begin("exittop_vm_target_exits_total");
                writer.count(
                    fmt::format("{},target=\"{}\"", labelled.reasons[i], escaped(target.label)),
                    target.count);
            }
        }
    }
}

std::string info_labels(const LabelledVm& labelled) {
    const VmInfo& vm = labelled.vm->identity;
    return fmt::format(
        "{},uuid=\"{}\",pid=\"{}\",vmm=\"{}\",isa=\"{}\",paging=\"{}\",namespace=\"{}\",pod=\"{}\","
        "pod_uid=\"{}\",uid=\"{}\",exe=\"{}\"",
        labelled.label, foreign(vm.uuid), vm.pid, foreign(vm.vmm), isa_name(vm.isa),
        paging_name(vm.paging), foreign(vm.pod.name_space), foreign(vm.pod.name),
        foreign(vm.pod.uid), vm.uid ? fmt::format("{}", *vm.uid) : "", foreign(vm.executable));
}

void write_times(Writer& writer, Vms vms, bool is_split) {
    if (is_split) {
        writer.begin("exittop_vm_vmm_seconds_total");
        for (const LabelledVm& each : vms) writer.time(each.label, each.vm->exits.vmm_ns);
        writer.begin("exittop_vm_halted_seconds_total");
        for (const LabelledVm& each : vms) writer.time(each.label, each.vm->exits.halted_ns);
    }
    writer.begin("exittop_vm_guest_seconds_total");
    for (const LabelledVm& each : vms) writer.time(each.label, each.vm->guest_ns);
    if (!is_split) return;  // The ratio leaves out the halted time.
    writer.begin("exittop_vm_exit_time_ratio");
    for (const LabelledVm& each : vms) writer.number(each.label, each.vm->exit_ratio);
}

void write_untraced(Writer& writer, Vms vms) {
    writer.begin("exittop_vm_untraced_exits_total");
    for (const LabelledVm& each : vms) {
        if (each.vm->untraced) writer.count(each.label, *each.vm->untraced);
    }
}

/// Only for VMs that have some: for all others it would be a series without information.
void write_uncounted(Writer& writer, Vms vms) {
    const auto has_some = [](const LabelledVm& each) { return each.vm->uncounted > 0; };
    if (std::ranges::none_of(vms, has_some)) return;
    writer.begin("exittop_vm_uncounted_exits_total");
    for (const LabelledVm& each : vms) {
        if (has_some(each)) writer.count(each.label, each.vm->uncounted);
    }
}

void write_vms(Writer& writer, Vms vms) {
    writer.begin("exittop_vm_vcpus");
    for (const LabelledVm& each : vms) writer.count(each.label, each.vm->vcpus);
    writer.begin("exittop_vm_info");
    for (const LabelledVm& each : vms) writer.count(info_labels(each), 1);
}

// Calls write(labels, vCPU) for each.
void for_each_vcpu(Vms vms, auto write) {
    for (const LabelledVm& each : vms) {
        for (const VcpuSeries& vcpu : each.vm->by_vcpu) {
            write(fmt::format("{},vcpu=\"{}\"", each.label, vcpu.id), vcpu);
        }
    }
}

void write_vcpus(Writer& writer, Vms vms, CountDetail detail) {
    const auto with_reason = [](const std::string& labels, const ReasonSeries& reason) {
        return fmt::format("{},reason=\"{}\"", labels, escaped(reason.label));
    };
    writer.begin("exittop_vcpu_exits_total");
    for_each_vcpu(vms, [&](const std::string& labels, const VcpuSeries& vcpu) {
        for (const ReasonSeries& reason : vcpu.reasons) {
            writer.count(with_reason(labels, reason), reason.exits.count);
        }
    });
    if (detail < CountDetail::time) return;
    writer.begin("exittop_vcpu_exit_seconds_total");
    for_each_vcpu(vms, [&](const std::string& labels, const VcpuSeries& vcpu) {
        for (const ReasonSeries& reason : vcpu.reasons) {
            writer.time(with_reason(labels, reason), reason.exits.time_ns);
        }
    });
    writer.begin("exittop_vcpu_guest_seconds_total");
    for_each_vcpu(vms, [&](const std::string& labels, const VcpuSeries& vcpu) {
        writer.time(labels, vcpu.guest_ns);
    });
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
    writer.only_number("exittop_last_update_timestamp_seconds", facts.unix_time_s);
    writer.begin("exittop_build_info");
    writer.count("version=\"" EXITTOP_VERSION "\"", 1);
}

}  // namespace

std::string prometheus_text(const SnapshotInfo& snapshot, std::span<const VmSeries> vms,
                            const ExporterFacts& facts) {
    const std::vector<LabelledVm> labelled = label(vms);
    const bool per_vcpu =
        std::ranges::any_of(vms, [](const VmSeries& vm) { return !vm.by_vcpu.empty(); });
    Writer writer;
    write_reasons(writer, labelled, snapshot.detail);
    write_targets(writer, labelled);
    if (snapshot.detail >= CountDetail::time) write_times(writer, labelled, snapshot.split);
    write_untraced(writer, labelled);
    write_uncounted(writer, labelled);
    write_vms(writer, labelled);
    if (per_vcpu) write_vcpus(writer, labelled, snapshot.detail);
    write_host(writer, snapshot.host);
    write_attach(writer, snapshot.attach);
    write_cost(writer, snapshot.cost);
    write_own(writer, snapshot.lost, facts);
    return std::move(writer.out);
}

}  // namespace exittop
