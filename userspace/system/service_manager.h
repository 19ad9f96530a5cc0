// SPDX-License-Identifier: GPL-2.0-only
// What a service tells systemd: that it is ready, alive, or about to end. Does nothing where it was
// not started by systemd, or as a service that waits for none of this.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace exittop {

class ServiceManager {
public:
    ServiceManager();

    /// Ready from the first call on; `status` is what `systemctl status` shows of it.
    void report(const std::string& status);
    /// To be called at least every second: sends a sign of life as often as the unit's WatchdogSec=
    /// asks for.
    void alive();
    void stopping();

private:
    std::optional<std::chrono::microseconds> watchdog_;  ///< A sign is due this often.
    std::chrono::steady_clock::time_point last_sign_{};
};

}  // namespace exittop
