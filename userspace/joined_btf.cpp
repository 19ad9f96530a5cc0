// SPDX-License-Identifier: GPL-2.0-only
#include "joined_btf.h"

#include <linux/btf.h>

#include <cstdint>
#include <cstring>

namespace exittop {
namespace {

struct Sections {
    std::string_view types;
    std::string_view strings;
};

std::optional<Sections> sections_of(std::string_view btf) {
    btf_header header{};
    if (btf.size() < sizeof header) return std::nullopt;
    std::memcpy(&header, btf.data(), sizeof header);
    if (header.magic != BTF_MAGIC || header.hdr_len < sizeof header ||
        header.hdr_len > btf.size()) {
        return std::nullopt;
    }
    const std::string_view rest = btf.substr(header.hdr_len);
    const auto fits = [&](std::uint64_t offset, std::uint64_t length) {
        return offset + length <= rest.size();
    };
    if (!fits(header.type_off, header.type_len) || !fits(header.str_off, header.str_len)) {
        return std::nullopt;
    }
    return Sections{rest.substr(header.type_off, header.type_len),
                    rest.substr(header.str_off, header.str_len)};
}

}  // namespace

std::optional<std::string> join_btf(std::string_view vmlinux, std::string_view module) {
    const auto base = sections_of(vmlinux);
    const auto more = sections_of(module);
    if (!base || !more) return std::nullopt;

    btf_header header{};
    header.magic = BTF_MAGIC;
    header.version = BTF_VERSION;
    header.hdr_len = sizeof header;
    header.type_len = static_cast<std::uint32_t>(base->types.size() + more->types.size());
    header.str_off = header.type_len;
    header.str_len = static_cast<std::uint32_t>(base->strings.size() + more->strings.size());

    std::string joined(sizeof header, '\0');
    joined.reserve(sizeof header + header.type_len + header.str_len);
    std::memcpy(joined.data(), &header, sizeof header);
    for (const std::string_view part : {base->types, more->types, base->strings, more->strings}) {
        joined += part;
    }
    return joined;
}

}  // namespace exittop
