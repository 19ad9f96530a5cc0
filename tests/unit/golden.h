// SPDX-License-Identifier: GPL-2.0-only
// Outputs compared with files in tests/golden. EXITTOP_UPDATE_GOLDEN=1 writes the files anew.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace exittop::test {

inline void expect_golden(const std::string& file, const std::string& text) {
    const std::string path = std::string(EXITTOP_GOLDEN_DIR) + "/" + file;
    if (std::getenv("EXITTOP_UPDATE_GOLDEN") != nullptr) {
        std::ofstream(path, std::ios::binary) << text;
        return;
    }
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream expected;
    expected << stream.rdbuf();
    ASSERT_TRUE(stream) << path << " is not there";
    EXPECT_EQ(expected.str(), text) << "differs from " << path;
}

}  // namespace exittop::test
