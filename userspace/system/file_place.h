// SPDX-License-Identifier: GPL-2.0-only
// Where a file is written: an open folder, and a name in it that is not a symbolic link. The path
// is resolved part by part, each in the folder that was opened before, so that nobody can replace a
// part between its check and its use.
//
// In a folder in which everybody may make files but not replace those of others (/tmp), anybody can
// put a link where a file is expected, and root would write where it leads. So there a link is
// followed only if it is the user's own or the folder owner's: the rule of fs.protected_symlinks=1,
// which is off on some hosts; here it holds whatever that says.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

#include "base/file_descriptor.h"

namespace exittop {

struct FilePlace {
    FileDescriptor folder;  ///< Opened with O_PATH: for the calls that end in "at".
    std::string name;       ///< What is there under it is no link; perhaps nothing is.
};

/// The place that a path leads to, through all links that may be followed, or an error.
std::expected<FilePlace, std::string> find_place(const std::filesystem::path& path);

/// Creates the folder of that path and its parents if they do not exist, following links as said
/// above.
std::expected<void, std::string> make_folders(const std::filesystem::path& path);

}  // namespace exittop
