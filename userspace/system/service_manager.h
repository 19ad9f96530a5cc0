// SPDX-License-Identifier: GPL-2.0-only
// Tells systemd that the service is ready, alive, or about to end. Does nothing if systemd did not
// start it or does not expect this.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace exittop {

class ServiceManager {
public:
    ServiceManager();

    /// The first call reports readiness; `systemctl status` shows `status`.
    void report(const std::string& status);
    /// To be called at least every second: sends keep-alive messages as often as the unit's
    /// WatchdogSec= requires.
    void alive();
    void stopping();

private:
    std::optional<std::chrono::microseconds> watchdog_;  ///< A sign is due this often.
    std::chrono::steady_clock::time_point last_sign_{};
};

}  // namespace exittop
