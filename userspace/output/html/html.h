// SPDX-License-Identifier: GPL-2.0-only
// Text inside HTML.
#pragma once

#include <string>
#include <string_view>

namespace exittop {

/// Other people's bytes as text of an element, or of an attribute in double or single quotes:
/// sanitised as for a terminal, so that nothing is invisible or reordered, then escaped. No other
/// place of a page (script, style, an attribute without quotes) is safe for it.
std::string html_text(std::string_view bytes);

}  // namespace exittop
