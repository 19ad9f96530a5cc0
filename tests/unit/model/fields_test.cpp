// SPDX-License-Identifier: GPL-2.0-only
#include "model/fields.h"

#include <set>

#include <gtest/gtest.h>

#include "samples.h"

namespace exittop {
namespace {

constexpr FieldContext context{Isa::vmx, 40, 2.0};

std::string printed(const char* key, const ExitStats& stats) {
    const Field* field = find_field(key);
    return print_value(field->value(stats, context), field->unit);
}

TEST(Fields, KeysAreUnique) {
    std::set<std::string_view> keys;
    for (const Field& field : fields()) EXPECT_TRUE(keys.insert(field.key).second) << field.key;
    EXPECT_EQ(find_field("no such field"), nullptr);
    for (const char* key : {"count", "time", "mean", "max", "p99", "name"}) {
        EXPECT_NE(find_field(key), nullptr) << key;
    }
}

TEST(Fields, PlacesInCsvAreOneAfterTheOther) {
    std::set<int> places;
    for (const Field& field : fields()) {
        if (field.places.csv == 0) continue;
        EXPECT_TRUE(places.insert(field.places.csv).second) << field.key;
        EXPECT_NE(field.data_name, "") << field.key;
    }
    EXPECT_EQ(*places.rbegin(), static_cast<int>(places.size()));
}

// Files hold what is stored, by its name; and the parts of the time leave nothing of it over.
TEST(Fields, WhatIsStoredHasANameAndPartsAddUp) {
    ExitStats stats = test::make_exits(10, {{1'000, 9}});
    stats.vmm_ns = 4'000;
    stats.polled_ns = 200;
    stats.preempted_ns = 300;
    stats.halted_ns = 1'000;
    stats.blocked_ns = 700;
    double parts = 0.0;
    for (const Field& field : fields()) {
        EXPECT_TRUE(field.stored == nullptr || !field.data_name.empty()) << field.key;
        if (field.is_time_part()) parts += number_of(field.value(stats, context)).value_or(0.0);
    }
    EXPECT_EQ(parts, 9'000.0);
}

TEST(Fields, Values) {
    ExitStats stats = test::make_exits(10, {{1'000, 9}, {11'000, 1}});
    stats.vmm_ns = 4'000;
    stats.polled_ns = 2'000;
    stats.preempted_ns = 3'000;
    stats.halted_ns = 1'000;
    stats.blocked_ns = 500;
    EXPECT_EQ(printed("name", stats), "CPUID");
    EXPECT_EQ(printed("code", stats), "0xa");
    EXPECT_EQ(printed("count", stats), "10");
    EXPECT_EQ(printed("share", stats), "25.0%");
    EXPECT_EQ(printed("rate", stats), "5.00");
    EXPECT_EQ(printed("time", stats), "20.0us");
    EXPECT_EQ(printed("kernel", stats), "9.50us");
    EXPECT_EQ(printed("vmm", stats), "4.00us");
    EXPECT_EQ(printed("polled", stats), "2.00us");
    EXPECT_EQ(printed("preempted", stats), "3.00us");
    EXPECT_EQ(printed("halted", stats), "1.00us");
    EXPECT_EQ(printed("blocked", stats), "500ns");
    EXPECT_EQ(printed("mean", stats), "2.00us");
    EXPECT_EQ(printed("mean_cpu", stats), "1.55us");
    EXPECT_EQ(printed("max", stats), "11.0us");
    EXPECT_EQ(printed("p99", stats), "11.0us");
}

TEST(Fields, WhatIsNotKnownIsNoNumber) {
    ExitStats untimed;
    untimed.count = 3;
    for (const char* key : {"mean", "p50", "p99"}) EXPECT_EQ(printed(key, untimed), "-") << key;
    EXPECT_EQ(print_value(find_field("rate")->value(untimed, {}), Unit::per_second), "-");
    EXPECT_EQ(print_value(find_field("share")->value(untimed, {}), Unit::ratio), "-");
    EXPECT_EQ(plain_value({}), "");
    EXPECT_EQ(plain_value(value_of(std::optional<double>())), "");
    EXPECT_EQ(print_value(value_of(std::optional(2'410.4)), Unit::nanoseconds), "2.41us");
    EXPECT_EQ(number_of(Value("x")), std::nullopt);
    EXPECT_EQ(number_of({}), std::nullopt);
}

TEST(Fields, KernelTimeIsNeverNegative) {
    ExitStats stats = test::make_exits(10, {{1'000, 1}});
    stats.vmm_ns = UINT64_MAX;
    stats.halted_ns = UINT64_MAX;
    EXPECT_EQ(printed("kernel", stats), "0ns");
    EXPECT_EQ(printed("mean_cpu", stats), "0ns");
}

TEST(Fields, AreKnownByTheirPartsOfTheTime) {
    struct Case {
        TimeParts known;
        std::string unknown;
    };
    const Case cases[] = {
        {{}, "kernel vmm polled preempted halted blocked mean_cpu "},
        {{TimePart::vmm}, "polled preempted halted blocked mean_cpu "},
        {{TimePart::halted}, "kernel vmm polled preempted blocked "},
        {{TimePart::vmm, TimePart::halted}, "polled preempted blocked "},
        {{TimePart::blocked}, "kernel vmm polled preempted halted "},
        {TimeParts::all(), ""},
    };
    for (const auto& [known, expected] : cases) {
        std::string unknown;
        for (const Field& field : fields()) {
            if (!is_known(field, known)) unknown += std::string(field.key) + " ";
        }
        EXPECT_EQ(unknown, expected);
    }
    Snapshot counted;
    counted.detail = CountDetail::count;
    EXPECT_FALSE(is_known(*find_field("vmm"), counted));
    EXPECT_TRUE(is_known(*find_field("count"), counted));
}

TEST(Fields, PlainValuesAreExact) {
    EXPECT_EQ(plain_value(std::uint64_t{UINT64_MAX}), "18446744073709551615");
    EXPECT_EQ(plain_value(0.5), "0.5");
    EXPECT_EQ(plain_value(std::string("x")), "x");
}

TEST(Fields, UnknownCodesAndLevelsAreLabelled) {
    ExitStats stats;
    stats.code = 0x5f;
    EXPECT_EQ(reason_label(Isa::vmx, stats), "0x5f");
    stats.level = GuestLevel::l2;
    EXPECT_EQ(reason_label(Isa::vmx, stats), "L2 0x5f");
}

std::vector<std::uint32_t> sorted_codes(const char* key) {
    std::vector<ExitStats> exits = {
        test::make_exits(10, {{1'000, 5}}),
        test::make_exits(30, {{9'000, 2}}),
        test::make_exits(12, {{500, 5}, {50'000, 1}}),
        ExitStats{},
    };
    exits.back().count = 5;  // code 0, without times
    sort_exits(exits, *find_field(key), context);
    std::vector<std::uint32_t> codes;
    for (const ExitStats& stats : exits) codes.push_back(stats.code);
    return codes;
}

TEST(Sort, ByField) {
    using Codes = std::vector<std::uint32_t>;
    EXPECT_EQ(sorted_codes("count"), (Codes{12, 0, 10, 30}));
    EXPECT_EQ(sorted_codes("time"), (Codes{12, 30, 10, 0}));
    EXPECT_EQ(sorted_codes("mean"), (Codes{30, 12, 10, 0}));
    EXPECT_EQ(sorted_codes("mean_cpu"), (Codes{30, 12, 10, 0}));
    EXPECT_EQ(sorted_codes("max"), (Codes{12, 30, 10, 0}));
    EXPECT_EQ(sorted_codes("p99"), (Codes{12, 30, 10, 0}));
    EXPECT_EQ(sorted_codes("name"), (Codes{10, 0, 12, 30}));  // CPUID, EXCEPTION_NMI, HLT, IO_...
}

}  // namespace
}  // namespace exittop
