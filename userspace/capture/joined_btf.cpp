// SPDX-License-Identifier: GPL-2.0-only
#include "capture/joined_btf.h"

#include <linux/btf.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <set>

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

/// Bytes after a type's header that belong to it (include/uapi/linux/btf.h); nothing for an
/// unknown, newer kind.
std::optional<std::size_t> bytes_behind(const btf_type& type) {
    const std::size_t members = BTF_INFO_VLEN(type.info);
    switch (BTF_INFO_KIND(type.info)) {
        case BTF_KIND_INT: return sizeof(std::uint32_t);
        case BTF_KIND_ARRAY: return sizeof(btf_array);
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION: return members * sizeof(btf_member);
        case BTF_KIND_ENUM: return members * sizeof(btf_enum);
        case BTF_KIND_FUNC_PROTO: return members * sizeof(btf_param);
        case BTF_KIND_VAR: return sizeof(btf_var);
        case BTF_KIND_DATASEC: return members * sizeof(btf_var_secinfo);
        case BTF_KIND_DECL_TAG: return sizeof(btf_decl_tag);
        case BTF_KIND_ENUM64: return members * sizeof(btf_enum64);
        default: break;
    }
    if (BTF_INFO_KIND(type.info) > BTF_KIND_ENUM64) return std::nullopt;
    return 0;
}

/// Calls `use` with each type and its offset; ends early at a type of unknown length.
void for_each_type(std::string_view types, auto use) {
    btf_type type{};
    for (std::size_t offset = 0; offset + sizeof type <= types.size();) {
        std::memcpy(&type, types.data() + offset, sizeof type);
        use(type, offset);
        const auto more = bytes_behind(type);
        if (!more) return;
        offset += sizeof type + *more;
    }
}

/// CO-RE looks for these by name.
bool is_looked_up(const btf_type& type) {
    const std::uint32_t kind = BTF_INFO_KIND(type.info);
    return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM ||
           kind == BTF_KIND_ENUM64;
}

/// The module's types, with the names removed from those that vmlinux also has. Both then use the
/// name's string of vmlinux.
std::string without_doubles(const Sections& base, std::string_view module) {
    using Name = std::pair<std::uint32_t, std::uint32_t>;  // the string's offset, and the kind
    std::map<Name, std::size_t> candidates;                // where they are in the module
    for_each_type(module, [&](const btf_type& type, std::size_t offset) {
        if (is_looked_up(type) && type.name_off != 0 && type.name_off < base.strings.size()) {
            candidates.emplace(Name{type.name_off, BTF_INFO_KIND(type.info)}, offset);
        }
    });
    std::string types(module);
    if (candidates.empty()) return types;
    std::set<std::uint32_t> names;
    for (const auto& [name, offset] : candidates) names.insert(name.first);
    for_each_type(base.types, [&](const btf_type& type, std::size_t) {
        if (!names.contains(type.name_off)) return;
        const auto found = candidates.find({type.name_off, BTF_INFO_KIND(type.info)});
        if (found == candidates.end()) return;
        constexpr std::uint32_t no_name = 0;
        std::memcpy(types.data() + found->second + offsetof(btf_type, name_off), &no_name,
                    sizeof no_name);
    });
    return types;
}

}  // namespace

std::optional<std::string> join_btf(std::string_view vmlinux, std::string_view module) {
    const auto base = sections_of(vmlinux);
    const auto more = sections_of(module);
    if (!base || !more) return std::nullopt;
    const std::string more_types = without_doubles(*base, more->types);

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
    for (const std::string_view part :
         {base->types, std::string_view(more_types), base->strings, more->strings}) {
        joined += part;
    }
    return joined;
}

}  // namespace exittop
