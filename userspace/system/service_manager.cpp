// SPDX-License-Identifier: GPL-2.0-only
#include "system/service_manager.h"

#include <systemd/sd-daemon.h>

namespace exittop {

using Clock = std::chrono::steady_clock;

ServiceManager::ServiceManager() {
    std::uint64_t limit_us = 0;
    // A third of the limit, so that one late signal does no harm.
    if (sd_watchdog_enabled(0, &limit_us) > 0) watchdog_ = std::chrono::microseconds(limit_us / 3);
}

void ServiceManager::report(const std::string& status) {
    sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void ServiceManager::alive() {
    if (!watchdog_ || Clock::now() - last_sign_ < *watchdog_) return;
    sd_notify(0, "WATCHDOG=1");
    last_sign_ = Clock::now();
}

void ServiceManager::stopping() { sd_notify(0, "STOPPING=1"); }

}  // namespace exittop
