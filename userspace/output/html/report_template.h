// SPDX-License-Identifier: GPL-2.0-only
// The HTML report's page, built in: userspace/output/html/page/ in one text by
// cmake/ReportTemplate.cmake.
#pragma once

#include <string_view>

namespace exittop {

/// What is to be filled in is written {{name}}.
extern const std::string_view report_template;

}  // namespace exittop
