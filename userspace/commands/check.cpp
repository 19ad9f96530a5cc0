// SPDX-License-Identifier: GPL-2.0-only
#include "commands/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>

#include <cstdint>
#include <sstream>

#include "base/text.h"
#include "system/files.h"

namespace exittop {
namespace {

CheckLine check_privileges() {
    if (may_load_bpf()) return {Finding::ok, "privileges", "may load BPF programs"};
    return {Finding::missing, "privileges",
            "not root; run it with sudo (or give it CAP_BPF and CAP_PERFMON)"};
}

CheckLine check_btf(const Host& host) {
    if (host.has_btf()) return {Finding::ok, "kernel BTF", "/sys/kernel/btf/vmlinux"};
    return {Finding::missing, "kernel BTF",
            "none; use a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions' are"};
}

CheckLine check_lockdown(const Host& host) {
    const std::string lockdown = host.lockdown();
    if (lockdown == "confidentiality") {
        return {Finding::missing, "lockdown",
                "confidentiality forbids BPF to read kernel memory; boot with "
                "lockdown=integrity or without lockdown"};
    }
    return {Finding::ok, "lockdown", lockdown.empty() ? "none" : lockdown};
}

CheckLine check_kvm(const Host& host) {
    if (host.has_kvm()) return {Finding::ok, "KVM", "the module kvm is there"};
    return {Finding::missing, "KVM",
            "no kvm here; load kvm_intel or kvm_amd, or see it all with 'exittop lab'"};
}

CheckLine check_vendor(const Host& host) {
    if (const auto vendor = host.vendor_module()) return {Finding::ok, "vendor module", *vendor};
    if (const auto others = host.other_vendors(); !others.empty()) {
        return {Finding::note, "vendor module",
                fmt::format("{} serves KVM here, whose exits kvm:kvm_exit does not show; "
                            "waits for kvm_intel or kvm_amd, or try 'exittop lab'",
                            fmt::join(others, ", "))};
    }
    return {Finding::note, "vendor module",
            "none yet; waits for kvm_intel or kvm_amd ('modprobe' one)"};
}

}  // namespace

bool may_load_bpf() {
    // CapEff in /proc: no library needed for two bits.
    std::istringstream status(read_file("/proc/self/status").value_or(""));
    for (std::string line; std::getline(status, line);) {
        if (!line.starts_with("CapEff:")) continue;
        const std::uint64_t have = std::strtoull(line.c_str() + 7, nullptr, 16);
        const auto has = [&](unsigned number) { return (have >> number & 1) != 0; };
        return has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
    }
    return false;
}

std::vector<CheckLine> check_host(const Host& host) {
    return {check_privileges(), check_btf(host), check_lockdown(host), check_kvm(host),
            check_vendor(host)};
}

std::expected<void, Error> require_host(const Host& host) {
    for (const CheckLine& line : check_host(host)) {
        if (line.finding != Finding::missing) continue;
        return lacking("{}: {}", line.subject, line.text);
    }
    return {};
}

std::string check_text(const std::vector<CheckLine>& lines) {
    std::string text;
    for (const CheckLine& line : lines) {
        const char* mark = line.finding == Finding::ok        ? "ok"
                           : line.finding == Finding::missing ? "MISSING"
                                                              : "note";
        text += fmt::format("{:<8} {:<14} {}\n", mark, line.subject, sanitise(line.text));
    }
    return text;
}

}  // namespace exittop
