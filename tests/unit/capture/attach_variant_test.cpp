// SPDX-License-Identifier: GPL-2.0-only
#include "capture/attach_variant.h"

#include <array>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace exittop {
namespace {

constexpr std::array variants = {AttachVariant::typed,      AttachVariant::raw,
                                 AttachVariant::btf,        AttachVariant::raw_helper,
                                 AttachVariant::raw_reason, AttachVariant::classic};

TEST(AttachVariant, NamesAreTheirOwn) {
    std::set<std::string> ids, names;
    for (const AttachVariant variant : variants) {
        const std::string id = attach_variant_id(variant);
        EXPECT_TRUE(ids.insert(id).second) << id;
        EXPECT_TRUE(names.insert(attach_variant_name(variant)).second) << id;
        EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << id;
    }
}

// Scripts and queries match these.
TEST(AttachVariant, IdsStay) {
    EXPECT_EQ(attach_variant_id(AttachVariant::typed), "tp_btf");
    EXPECT_EQ(attach_variant_id(AttachVariant::raw), "raw_tp");
    EXPECT_EQ(attach_variant_id(AttachVariant::btf), "tp_btf_helper");
    EXPECT_EQ(attach_variant_id(AttachVariant::raw_helper), "raw_tp_helper");
    EXPECT_EQ(attach_variant_id(AttachVariant::raw_reason), "raw_tp_reason");
    EXPECT_EQ(attach_variant_id(AttachVariant::classic), "classic");
}

TEST(AttachVariant, WhatIsTriedFollowsFromBtf) {
    using enum AttachVariant;
    struct Case {
        const char* kernel;
        bool kvm_btf, reason_passed, vendor_btf, rdonly_cast;
        std::vector<AttachVariant> expected;  // Besides the classic one, which is tried last.
    };
    const Case cases[] = {
        {"5.10", true, true, false, false, {raw_reason}},
        {"6.1", true, false, true, false, {btf, raw_helper}},
        {"6.12", true, false, true, true, {typed, raw}},
        {"the vendor's types hidden", true, false, false, true, {}},
        {"all types of kvm hidden", false, false, false, true, {raw_reason}},
    };
    for (const Case& each : cases) {
        SCOPED_TRACE(each.kernel);
        KernelFacts facts;
        facts.kvm_btf = each.kvm_btf;
        facts.reason_passed = each.reason_passed;
        facts.vendor_btf = each.vendor_btf;
        facts.rdonly_cast = each.rdonly_cast;
        EXPECT_EQ(variants_to_try(facts, AttachChoice::raw), each.expected);
        EXPECT_EQ(variants_to_try(facts, AttachChoice::classic), std::vector{classic});
        std::vector<AttachVariant> all = each.expected;
        all.push_back(classic);
        EXPECT_EQ(variants_to_try(facts, AttachChoice::automatic), all);
    }
}

TEST(AttachError, TellsEachWayThatWasTried) {
    const std::array attempts = {
        FailedAttach{AttachVariant::typed, {ExitStatus::failed, "cannot load: bad"}},
        FailedAttach{AttachVariant::raw, {ExitStatus::failed, "cannot attach: worse"}},
        FailedAttach{AttachVariant::classic, {ExitStatus::failed, "cannot open: worst"}}};
    const Error error = attach_error(attempts);
    EXPECT_EQ(error.status, ExitStatus::failed);
    EXPECT_EQ(error.text, "cannot attach to kvm_exit: tp_btf: cannot load: bad; "
                          "raw_tp: cannot attach: worse; classic: cannot open: worst");
}

TEST(AttachError, TellsTheSameReasonOnce) {
    const Error none{ExitStatus::failed, "no memory"};
    const std::array all = {FailedAttach{AttachVariant::btf, none},
                            FailedAttach{AttachVariant::raw_helper, none},
                            FailedAttach{AttachVariant::classic, none}};
    EXPECT_EQ(attach_error(all).text,
              "cannot attach to kvm_exit: tp_btf_helper, raw_tp_helper, classic: no memory");
    const std::array some = {FailedAttach{AttachVariant::btf, none},
                             FailedAttach{AttachVariant::raw_helper, {ExitStatus::failed, "else"}},
                             FailedAttach{AttachVariant::classic, none}};
    EXPECT_EQ(attach_error(some).text, "cannot attach to kvm_exit: tp_btf_helper: no memory; "
                                       "raw_tp_helper: else; classic: no memory");
    EXPECT_EQ(attach_error(std::span(all).last(1)).text,
              "cannot attach to kvm_exit: classic: no memory");
}

TEST(AttachError, ARightThatIsLackingMakesTheStatus) {
    const FailedAttach failed{AttachVariant::typed, {ExitStatus::failed, "cannot load"}};
    const FailedAttach lacking{AttachVariant::raw, {ExitStatus::lacking, "not permitted"}};
    EXPECT_EQ(attach_error(std::array{failed, lacking}).status, ExitStatus::lacking);
    EXPECT_EQ(attach_error(std::array{lacking, failed}).status, ExitStatus::lacking);
    EXPECT_EQ(attach_error(std::array{failed, failed}).status, ExitStatus::failed);
}

TEST(AttachError, NothingThatCouldBeTried) {
    const Error error = attach_error({});
    EXPECT_EQ(error.status, ExitStatus::failed);
    EXPECT_NE(error.text.find("--attach raw"), std::string::npos);
}

}  // namespace
}  // namespace exittop
