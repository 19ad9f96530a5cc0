// SPDX-License-Identifier: GPL-2.0-only
#include "commands/waiting.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "commands/dump.h"
#include "system/files.h"

namespace exittop {
namespace {

/// Whether KVM asks a BPF program at all. Without the patch it does not even know the parameter.
std::expected<void, Error> require_leaves(const Host& host) {
    const auto parameters = host.facts().parameters;
    const auto found = parameters.find("kvm.cpuid_answer");
    if (found == parameters.end()) {
        return std::unexpected(Error{ExitStatus::lacking,
                                     "this kernel's KVM cannot answer CPUID leaves: load modules "
                                     "with exittop's patch (see kernel/README.md)"});
    }
    if (found->second == "Y") return {};
    return std::unexpected(Error{ExitStatus::lacking,
                                 "KVM's parameter cpuid_answer is off: load kvm with "
                                 "cpuid_answer=1"});
}

}  // namespace

std::expected<void, Error> DeferredCollector::poll() {
    if (collector_) {
        collector_->poll();
        return {};
    }
    if (host_.vendor_module()) return attach();
    if (options_.no_wait) {
        return std::unexpected(Error{ExitStatus::lacking,
                                     "neither kvm_intel nor kvm_amd is loaded: load one, or "
                                     "leave out --no-wait"});
    }
    if (!std::exchange(said_waiting_, true)) report("waiting for kvm_intel or kvm_amd");
    return {};
}

std::expected<void, Error> DeferredCollector::attach() {
    std::optional<LeafService> leaves;
    if (options_.command == Subcommand::leaves) {
        if (auto able = require_leaves(host_); !able) return able;
        leaves = LeafService{options_.layout, [this](const Vm& vm) {
                                 return matches(vm, options_);
                             }};
    }
    auto started = Collector::start(host_, options_.attach, options_.max_vcpus, options_.detail,
                                    std::move(leaves));
    if (!started) return std::unexpected(started.error());
    collector_.emplace(std::move(*started));
    report(fmt::format("counting; {} of kernel memory for up to {} vCPUs",
                       print_bytes(collector_->program().memory_bytes()),
                       collector_->program().max_vcpus()));
    for (const std::string& note : collector_->notes()) report(note);
    return {};
}

}  // namespace exittop
