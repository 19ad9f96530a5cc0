// SPDX-License-Identifier: GPL-2.0-only
// Runs side by side as one HTML page for a browser, a mail or paper. It holds all it needs and may
// load nothing; without JavaScript it is its tables, with it there are charts, and the tables sort.
#pragma once

#include <string>

#include "analysis/comparison.h"

namespace exittop {

/// About half a megabyte, nearly all of it the library that draws the charts.
std::string report_page(const Comparison& comparison);

}  // namespace exittop
