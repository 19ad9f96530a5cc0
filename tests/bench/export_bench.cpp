// SPDX-License-Identifier: GPL-2.0-only
// CPU time of one update of the exported file with 1,000 VMs of 20 reasons: reading the slots,
// making the series, the text, and writing the file. Prints the median of many; fails if it is far
// above the target of 50 ms.
#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "analysis/series.h"
#include "capture/vm_table.h"
#include "cpu_time.h"
#include "fake_slots.h"
#include "output/prometheus.h"
#include "system/files.h"

namespace exittop::test {
namespace {

constexpr std::uint32_t vms = 1'000;
constexpr std::uint32_t reasons = 20;
constexpr int updates = 30;
constexpr double target_ms = 50.0;
constexpr double broken_ms = 5 * target_ms;

class Exporting {
public:
    Exporting() {
        for (std::uint32_t number = 1; number <= vms; ++number) {
            slots_.begin(number, {.kvm = 0xffff'0000'0000'0000 + number * 0x10000,
                                  .first_ns = 100 + number,
                                  .id = 0,
                                  .pid = 1000 + number,
                                  .tid = 100'000 + number});
        }
        table_.update(slots_.all(), slots_.states(), [](std::uint32_t) {});
    }

    void update(std::uint32_t second, bool histograms, const std::filesystem::path& file) {
        count_more(second);
        const std::uint64_t now_ns = second * 1'000'000'000ULL;
        const double began = cpu_ms();
        if (histograms) {
            Snapshot snapshot{{}, table_.contents(slots_.all(), now_ns).vms};
            write(snapshot, began, file);
        } else {
            Overview overview{{}, table_.overview(slots_.all(), now_ns, "").vms, {}};
            overview.detail = CountDetail::time;
            write(overview, began, file);
        }
    }

    void write(const auto& taken, double began, const std::filesystem::path& file) {
        const double read = cpu_ms();
        const auto series = make_series(taken, {}, memory_);
        const double made = cpu_ms();
        const std::string text = prometheus_text(taken, series, {});
        const double printed = cpu_ms();
        if (const auto written = publish_file(file, text); !written) {
            throw std::runtime_error(written.error().text);
        }
        const double done = cpu_ms();
        for (const auto& [part, ms] : {std::pair{0, read - began},
                                       {1, made - read},
                                       {2, printed - made},
                                       {3, done - printed},
                                       {4, done - began}}) {
            parts_[static_cast<std::size_t>(part)].push_back(ms);
        }
        bytes_ = text.size();
        series_ = static_cast<std::size_t>(std::ranges::count(text, '\n'));
    }

    [[nodiscard]] double report(const char* what) const {
        const double all = median(parts_[4]);
        fmt::print("{}: {:.1f} ms of CPU (slots {:.1f}, series {:.1f}, text {:.1f}, file {:.1f}) "
                   "for {} lines, {:.1f} MB\n",
                   what, all, median(parts_[0]), median(parts_[1]), median(parts_[2]),
                   median(parts_[3]), series_, static_cast<double>(bytes_) * 1e-6);
        return all;
    }

private:
    void count_more(std::uint32_t second) {
        for (std::uint32_t number = 1; number <= vms; ++number) {
            SlotWriter writer = slots_.at(number);
            for (std::uint32_t i = 0; i < reasons; ++i) {
                writer.exits(0x60 + i, 600 + 977 * i * i + 13 * number, 5 + i * second);
            }
        }
    }

    FakeSlots slots_{vms};
    VmTable table_{[](const VmTable::Process& process) {
        return VmIdentity{fmt::format("instance-{:08x}", process.pid),
                          "6f1e2d3c-0000-4000-8000-0123456789ab", "qemu"};
    }};
    SeriesMemory memory_;
    std::array<std::vector<double>, 5> parts_;
    std::size_t bytes_ = 0;
    std::size_t series_ = 0;
};

double measure(const char* what, bool histograms, const std::filesystem::path& file) {
    Exporting exporting;
    for (int i = 1; i <= updates; ++i) {
        exporting.update(static_cast<std::uint32_t>(i), histograms, file);
    }
    return exporting.report(what);
}

}  // namespace
}  // namespace exittop::test

// With a file name, writes the output without histograms there.
int main(int argc, char** argv) {
    using namespace exittop::test;
    fmt::print("{} VMs x {} reasons, target {} ms\n", vms, reasons, target_ms);
    const std::filesystem::path file =
        std::filesystem::temp_directory_path() / fmt::format("exittop-bench-{}.prom", getpid());
    measure("with histograms", true, file);
    const double plain = measure("without histograms", false, argc > 1 ? argv[1] : file);
    exittop::withdraw_file(file);
    return plain < broken_ms ? 0 : 1;
}
