// SPDX-License-Identifier: GPL-2.0-only
// Where a file is written: a folder that is open, and a name in it that is no symbolic link. Found
// part by part, each in the folder that was opened before it, so that nobody can exchange a part
// between the look at it and its use.
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

/// The place that a path leads to, through all links that may be followed, or why there is none.
std::expected<FilePlace, std::string> find_place(const std::filesystem::path& path);

/// Makes the folder of that path, and those on the way, where they are not there; through links as
/// said above. Or why it cannot.
std::expected<void, std::string> make_folders(const std::filesystem::path& path);

}  // namespace exittop
