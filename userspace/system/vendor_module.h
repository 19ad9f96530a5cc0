// SPDX-License-Identifier: GPL-2.0-only
// Reloads kvm_intel or kvm_amd with other parameters.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "system/host.h"

namespace exittop {

/// How modules are removed and loaded; tests replace it.
struct ModuleTools {
    std::function<int(const std::string& module)> remove;  ///< 0, or what errno says of it.
    /// The exit status of modprobe with these arguments.
    std::function<int(const std::vector<std::string>& arguments)> modprobe;
};
ModuleTools system_module_tools();

/// A vendor module that may be reloaded. Its original parameters are restored at destruction, also
/// by an exception, unless restore() did so before.
class VendorModule {
public:
    /// An error if there is none, if it is built in, if loading is forbidden, or if a VM uses it.
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
    /// The command with which a user can load it as it was found.
    [[nodiscard]] std::string command_line() const;

    /// Loads it with or without nested paging, and with its other parameters as found. An error if
    /// that did not take effect; the module may then be unloaded until restore().
    std::expected<void, Error> reload(bool nested_paging);
    /// Loads it as it was found; does nothing if it was never reloaded.
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
