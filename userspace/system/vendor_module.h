// SPDX-License-Identifier: GPL-2.0-only
// Takes kvm_intel or kvm_amd out of the kernel and puts it in again with other parameters.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "system/host.h"

namespace exittop {

/// How modules are taken out of the kernel and put in; tests have a way of their own.
struct ModuleTools {
    std::function<int(const std::string& module)> remove;  ///< 0, or what errno says of it.
    /// The exit status of modprobe with these arguments.
    std::function<int(const std::vector<std::string>& arguments)> modprobe;
};
ModuleTools system_module_tools();

/// A vendor's module that may be reloaded, as it was found. What it had is restored at destruction,
/// be it by an exception, unless restore() did so before.
class VendorModule {
public:
    /// An error where there is none, it is built in, loading is forbidden, or a VM uses it.
    static std::expected<VendorModule, Error> find(const Host& host,
                                                   ModuleTools tools = system_module_tools());
    VendorModule(VendorModule&& other) noexcept;
    VendorModule& operator=(VendorModule&&) = delete;
    ~VendorModule();

    [[nodiscard]] const std::string& name() const { return name_; }
    /// Its parameter for nested paging: "ept" or "npt".
    [[nodiscard]] const std::string& paging_parameter() const { return paging_; }
    /// Whether it was found with nested paging.
    [[nodiscard]] bool had_nested_paging() const;
    /// How a user would load it as it was found.
    [[nodiscard]] std::string command_line() const;

    /// Loads it with nested paging or without, its other parameters as they were found. An error
    /// where that did not take effect; it may be gone then, until restore().
    std::expected<void, Error> reload(bool nested_paging);
    /// Loads it as it was found; nothing to do if it was never reloaded.
    std::expected<void, Error> restore();

private:
    using Parameters = std::map<std::string, std::string>;

    VendorModule(const Host& host, std::string name, ModuleTools tools);
    [[nodiscard]] Parameters parameters() const;
    std::expected<void, Error> unload();
    std::expected<void, Error> load(const Parameters& wanted) const;
    std::expected<void, Error> load_like(const Parameters& wanted);

    const Host* host_;
    ModuleTools tools_;
    std::string name_;
    std::string paging_;
    Parameters found_;
    std::string by_hand_;  ///< What a user can do if restore() fails. Ready for want of memory.
    bool changed_ = false;
};

}  // namespace exittop
