// SPDX-License-Identifier: GPL-2.0-only
#include "commands/waiting.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "system/files.h"

namespace exittop {
namespace {

/// Whether KVM asks a BPF program at all. Without the patch, KVM does not have the parameter.
std::expected<void, Error> require_leaves(const Host& host) {
    const auto parameters = host.facts().parameters;
    const auto found = parameters.find("kvm.cpuid_answer");
    if (found == parameters.end()) {
        return lacking("this kernel's KVM cannot answer CPUID leaves: load modules "
                       "with exittop's patch (see kernel/README.md)");
    }
    if (found->second == "Y") return {};
    return lacking("KVM's parameter cpuid_answer is off: load kvm with cpuid_answer=1");
}

/// What to ask of the collector. Targets need times.
std::optional<TargetRequest> target_request(const CountingOptions& options) {
    const bool later = options.targets_later && options.detail >= CountDetail::time;
    if (!options.targets && !later) return std::nullopt;
    return TargetRequest{.choice = options.targets.value_or(TargetChoice{}),
                         .memory = options.target_memory,
                         .from_start = options.targets.has_value()};
}

}  // namespace

DeferredListener stderr_listener() {
    return {.waits = [] { report("waiting for kvm_intel or kvm_amd"); },
            .counts =
                [](const Collector& collector) {
                    report(fmt::format("counting; {} of kernel memory for up to {} vCPUs",
                                       print_bytes(collector.program().memory_bytes()),
                                       collector.program().max_vcpus()));
                    if (const std::uint64_t targets = collector.target_bytes(); targets > 0) {
                        report(fmt::format("targets: {} more, each exit costs more",
                                           print_bytes(targets)));
                    }
                    for (const std::string& note : collector.notes()) report(note);
                }};
}

DeferredCollector::DeferredCollector(const Host& host, const CountingOptions& options,
                                     std::optional<LeafService> leaves, DeferredListener listener)
    : host_(host), options_(options), leaves_(std::move(leaves)), listener_(std::move(listener)) {}

std::expected<void, Error> DeferredCollector::poll() {
    if (collector_) {
        collector_->poll();
        return {};
    }
    if (host_.vendor_module()) {
        // A module that is just being loaded is there for a moment before it says that it is not
        // ready: one that was waited for has to be ready twice.
        if (said_waiting_ && !std::exchange(was_ready_, true)) return {};
        return attach();
    }
    was_ready_ = false;
    if (options_.no_wait) {
        return lacking("neither kvm_intel nor kvm_amd is loaded: load one, or leave out --no-wait");
    }
    if (!std::exchange(said_waiting_, true)) listener_.waits();
    return {};
}

std::expected<void, Error> DeferredCollector::stop() {
    if (!collector_) {
        return lacking("nothing was counted: neither kvm_intel nor kvm_amd was loaded meanwhile");
    }
    collector_->stop();
    return {};
}

std::expected<void, Error> DeferredCollector::attach() {
    if (leaves_) {
        if (auto able = require_leaves(host_); !able) return able;
    }
    const auto start = [this](const std::optional<TargetRequest>& targets) {
        return Collector::start(host_, options_.attach, options_.max_vcpus, options_.detail,
                                leaves_, targets);
    };
    const auto targets = target_request(options_);
    auto started = start(targets);
    if (!started && targets && options_.targets_if_able) {
        const std::string why = started.error().text;
        started = start(std::nullopt);
        if (started) report("without targets: " + why);
    }
    if (!started) return std::unexpected(started.error());
    collector_.emplace(std::move(*started));
    listener_.counts(*collector_);
    return {};
}

}  // namespace exittop
