// SPDX-License-Identifier: GPL-2.0-only
// How the benchmarks measure: CPU time, and the median of many, so that one disturbance has no
// effect.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <vector>

namespace exittop::test {

inline double seconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// CPU time of this process.
inline double cpu_ms() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID) * 1e3; }

inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

}  // namespace exittop::test
