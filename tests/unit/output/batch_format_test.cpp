// SPDX-License-Identifier: GPL-2.0-only
#include "output/batch_format.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "output/csv.h"
#include "output/json.h"
#include "samples.h"

namespace exittop {
namespace {

TEST(BatchFormat, JsonIsALinePerInterval) {
    const Snapshot snapshot = test::make_snapshot();
    for (const bool is_first : {true, false}) {
        const std::string text = batch_text(snapshot, Format::json, {}, is_first);
        EXPECT_EQ(std::ranges::count(text, '\n'), 1);
        EXPECT_EQ(text, to_json(snapshot));
    }
}

TEST(BatchFormat, CsvHasOneHeading) {
    const Snapshot snapshot = test::make_snapshot();
    const std::string first = batch_text(snapshot, Format::csv, {}, true);
    const std::string second = batch_text(snapshot, Format::csv, {}, false);
    EXPECT_TRUE(first.starts_with("taken_at,duration_s,vm,pid,"));
    EXPECT_EQ(first.substr(first.find('\n') + 1), second);
    EXPECT_TRUE(second.starts_with("2026-03-01T12:00:00Z,10.000,"));
    const std::string plain = to_csv(snapshot, false);
    EXPECT_EQ(std::ranges::count(plain, '\n'), std::ranges::count(first, '\n'));
    EXPECT_NE(second.find("," + plain.substr(plain.find('\n') + 1, 40)), std::string::npos);
}

TEST(BatchFormat, AnIntervalWithoutVms) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms.clear();
    EXPECT_EQ(batch_text(snapshot, Format::csv, {}, false), "");
    EXPECT_NE(batch_text(snapshot, Format::table, {}, false).find("No exit of a VM"),
              std::string::npos);
}

TEST(BatchFormat, TablesStandApartUnderTheirTime) {
    const Snapshot snapshot = test::make_snapshot();
    const std::string table = dump_table(snapshot, {});
    EXPECT_EQ(batch_text(snapshot, Format::table, {}, true), "2026-03-01T12:00:00Z\n" + table);
    EXPECT_EQ(batch_text(snapshot, Format::table, {}, false), "\n2026-03-01T12:00:00Z\n" + table);
}

}  // namespace
}  // namespace exittop
