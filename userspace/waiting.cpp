// SPDX-License-Identifier: GPL-2.0-only
#include "waiting.h"

#include <fmt/format.h>

#include <utility>

#include "files.h"
#include "text.h"

namespace exittop {

std::expected<void, Error> WaitingCollector::poll() {
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

std::expected<void, Error> WaitingCollector::attach() {
    auto started = Collector::start(host_, options_.attach, options_.max_vcpus, options_.detail);
    if (!started) return std::unexpected(started.error());
    collector_.emplace(std::move(*started));
    report(fmt::format("counting; {} of kernel memory for up to {} vCPUs",
                       print_bytes(collector_->program().memory_bytes()),
                       collector_->program().max_vcpus()));
    return {};
}

}  // namespace exittop
