// SPDX-License-Identifier: GPL-2.0-only
// The inputs that fuzzing found worth keeping, and what no fuzzer makes up: very deep, very long.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "../fuzz/run_file_fuzz.h"
#include "output/json_input.h"

namespace exittop {
namespace {

void try_out(const std::string& text) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

TEST(FuzzCorpus, IsStillHandled) {
    int tried = 0;
    for (const auto& entry : std::filesystem::directory_iterator(EXITTOP_FUZZ_CORPUS)) {
        std::ifstream file(entry.path(), std::ios::binary);
        std::ostringstream text;
        text << file.rdbuf();
        SCOPED_TRACE(entry.path().string());
        try_out(text.str());
        ++tried;
    }
    EXPECT_GT(tried, 20);
}

TEST(FuzzCorpus, DeepAndWide) {
    for (const char* piece :
         {"[", "{\"a\":", "[[],", "\"", "1e", "-", "\\u0000", "0,", "{\"\":{},"}) {
        std::string text;
        while (text.size() < 1'000'000) text += piece;
        try_out(text);
        EXPECT_FALSE(from_json(text)) << piece;
    }
}

}  // namespace
}  // namespace exittop
