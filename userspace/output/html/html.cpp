// SPDX-License-Identifier: GPL-2.0-only
#include "output/html/html.h"

#include "base/text.h"

namespace exittop {

std::string html_text(std::string_view bytes) {
    std::string out;
    for (const char c : sanitise(bytes)) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: out += c;
        }
    }
    return out;
}

}  // namespace exittop
