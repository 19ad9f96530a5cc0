// SPDX-License-Identifier: GPL-2.0-only
// The HTML report's page, built in: userspace/output/html/page/ in one text by
// cmake/ReportTemplate.cmake.
#pragma once

#include <string_view>

namespace exittop {

/// A format string of fmt: {name} is to be filled in, braces of scripts and style are doubled.
extern const std::string_view report_template;

}  // namespace exittop
