// SPDX-License-Identifier: GPL-2.0-only
// QEMU's file holds what --version prints as one piece; others may have it in their file's name.
#include "vmm_version.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

namespace exittop {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view qemu_words = "QEMU emulator version ";
constexpr std::size_t longest_version = 32;
constexpr std::size_t piece_bytes = 1 << 20;
constexpr std::size_t most_pieces = 256;
constexpr std::string_view version_letters =
    "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

std::string leading(std::string_view text, std::string_view letters) {
    const std::size_t end = std::min(text.find_first_not_of(letters), longest_version);
    return std::string(text.substr(0, std::min(end, text.size())));
}

/// What follows QEMU's words in a file; pieces overlap, so that nothing is cut in two.
std::string qemu_version(const fs::path& program) {
    constexpr std::size_t overlap = qemu_words.size() + longest_version;
    std::ifstream file(program, std::ios::binary);
    std::string text;
    for (std::size_t piece = 0; piece < most_pieces && file; ++piece) {
        text.erase(0, text.size() - std::min(text.size(), overlap));
        const std::size_t kept = text.size();
        text.resize(kept + piece_bytes);
        file.read(text.data() + kept, piece_bytes);
        text.resize(kept + static_cast<std::size_t>(file.gcount()));
        const std::size_t found = text.find(qemu_words);
        if (found == text.npos || text.size() - found < overlap) continue;
        return leading(std::string_view(text).substr(found + qemu_words.size()), version_letters);
    }
    return {};
}

}  // namespace

std::string version_in_name(std::string_view name) {
    const std::size_t dash = name.find("-v");
    if (dash == name.npos) return {};
    std::string version = leading(name.substr(dash + 2), "0123456789.");
    return version.contains('.') ? version : std::string{};
}

std::string VmmVersions::of(std::uint32_t pid) {
    const fs::path program = root_ / "proc" / std::to_string(pid) / "exe";
    struct stat facts {};
    if (stat(program.c_str(), &facts) != 0) return {};
    const auto [place, is_new] = known_.try_emplace({facts.st_dev, facts.st_ino});
    if (is_new) {
        std::error_code ignored;
        place->second = version_in_name(fs::read_symlink(program, ignored).filename().string());
        if (place->second.empty()) place->second = qemu_version(program);
    }
    return place->second;
}

}  // namespace exittop
