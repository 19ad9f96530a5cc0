// SPDX-License-Identifier: GPL-2.0-only
#include "output/json.h"
#include "output/json_input.h"

#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "golden.h"
#include "model/fields.h"
#include "samples.h"

namespace exittop {
namespace {

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string without(std::string text, std::string_view what) {
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos;) {
        text.erase(at, what.size());
    }
    return text;
}

Snapshot plain_snapshot() {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms[1].name = "evil \"\\\n\u4e2d";  // Valid UTF-8 comes back as it was.
    return snapshot;
}

// A snapshot alone is a run of which no more is known.
Run plain_run(Snapshot snapshot) {
    Run run;
    run.repeats.push_back(std::move(snapshot));
    return run;
}

TEST(Json, Golden) { test::expect_golden("dump.json", to_json(test::make_snapshot())); }

TEST(Json, IsReadBack) {
    Snapshot snapshot = plain_snapshot();
    snapshot.lost.table_full = 7;
    snapshot.lost.unknown["of a later version"] = 8;
    snapshot.cost = {250'000'000, 68'000, 1'000, 40 << 20, 2, 4096, 1 << 20};
    snapshot.vms[0].isa = static_cast<Isa>(9);
    snapshot.vms[0].vcpus[1].kvm_exits.reset();
    snapshot.vms[0].vcpus[1].uncounted = 41'148;
    snapshot.vms[1].silent = true;
    snapshot.vms[0].uid.reset();
    snapshot.vms[0].executable.clear();
    snapshot.vms[0].vcpus[0].exits[0].count = UINT64_MAX;
    snapshot.vms[0].vcpus[0].exits[0].histogram.add(histogram_buckets - 1, UINT64_MAX);
    const auto read = from_json(to_json(snapshot));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, plain_run(snapshot));
    const auto empty = from_json(to_json(Snapshot{}));
    ASSERT_TRUE(empty) << empty.error();
    EXPECT_EQ(*empty, plain_run({}));
}

TEST(Json, TargetsAreReadBack) {
    Snapshot snapshot = test::make_snapshot_with_targets();
    const std::string json = to_json(snapshot);
    test::expect_golden("dump_targets.json", json);
    snapshot.vms[1].name = plain_snapshot().vms[1].name;
    const auto read = from_json(to_json(snapshot));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, plain_run(snapshot));
    // The dearest first, a name that is not the file's, and no cause where nothing is unknown.
    EXPECT_LT(json.find("port 0x608 in 4"), json.find("port 0x3f8 out 1"));
    EXPECT_EQ(from_json(replaced(to_json(snapshot), R"("target":"leaf 0x1","name":)",
                                 R"("target":"leaf 0x1","name":7,"later":)")),
              plain_run(snapshot));
    EXPECT_NE(json.find(R"("targets_unknown":{"count":0,"time_ns":0}})"), std::string::npos);
}

TEST(Json, TargetsThatWereNotCountedAreNotZero) {
    Snapshot snapshot = plain_snapshot();
    EXPECT_EQ(to_json(snapshot).find("\"target"), std::string::npos);
    ExitStats& stats = snapshot.vms[0].vcpus[0].exits[0];
    stats.targets.emplace();  // Counted, but there were none.
    EXPECT_EQ(from_json(to_json(snapshot)), plain_run(snapshot));
    const auto alone = from_json(replaced(
        to_json(snapshot),
        R"(,"targets_other":{"count":0,"time_ns":0},"targets_unknown":{"count":0,"time_ns":0})",
        ""));
    EXPECT_EQ(alone, plain_run(snapshot));
}

TEST(Json, TargetsThatContradictAreRefused) {
    struct Case {
        const char* from;
        const char* to;
        const char* error;
    };
    const std::string place = "vms[0].vcpus[0].exits[3].targets";
    const Case cases[] = {
        {"port 0x3f8 out 1", "port 0x608 in 4", ": holds the same target twice"},
        {"port 0x3f8 out 1", "", "[1].target: must not be empty"},
        {"\"port 0x3f8 out 1\"", "7", "[1].target: must be a string"},
        {"\"count\":30000", "\"count\":34097",
         ": hold 136100 exits, with those that are other or unknown, of 132003 of their reason"},
        {"\"count\":30000", "\"count\":18446744073709551615",
         ": hold 18446744073709551615 exits, with"},
        {"\"count\":30000", "\"count\":-1", "[1].count: must be a whole number"},
        {"\"count\":30000,", "", "[1]: has no \"count\""},
        {"\"targets\":[{\"target\":\"port 0x608 in 4\"", "\"targets\":[7,{\"target\":\"x\"",
         "[0]: must be an object"},
    };
    const std::string good = to_json(test::make_snapshot_with_targets());
    for (const Case& c : cases) {
        const auto read = from_json(replaced(good, c.from, c.to));
        ASSERT_FALSE(read) << c.to;
        EXPECT_EQ(read.error().substr(0, place.size() + std::string(c.error).size()),
                  place + c.error);
    }
    // Of an interval at whose beginning exits were handled.
    EXPECT_TRUE(from_json(replaced(good, "\"count\":30000", "\"count\":34096")));
}

Targets any_targets() {
    Targets targets;
    const auto sum = [] {
        return TargetSum{*rc::gen::inRange<std::uint64_t>(0, 1U << 20),
                         *rc::gen::arbitrary<std::uint64_t>()};
    };
    for (int i = *rc::gen::inRange(0, 20); i > 0; --i) {
        targets.add(*rc::gen::element<std::string>("0x10 read", "leaf 0x4.2", "\x1b[2J\n", "\u4e2d",
                                                   "#PF write user", "other", "unknown"),
                    sum());
    }
    targets.other = sum();
    targets.unknown = sum();
    if (targets.unknown.count > 0) targets.why = *rc::gen::element<std::string>("", "\"x\\");
    return targets;
}

TEST(Json, AnyTargetsAreReadBack) {
    EXPECT_TRUE(rc::check("targets", [] {
        Snapshot snapshot = plain_snapshot();
        snapshot.cost.target_bytes = *rc::gen::arbitrary<std::uint64_t>();
        for (ExitStats& stats : snapshot.vms[0].vcpus[0].exits) {
            if (*rc::gen::arbitrary<bool>()) continue;
            stats.targets = any_targets();
            stats.count = sum_of(*stats.targets).count + *rc::gen::inRange(0U, 2U);
        }
        const auto read = from_json(to_json(snapshot));
        RC_ASSERT(read.has_value());
        RC_ASSERT(*read == plain_run(snapshot));
    }));
}

TEST(Json, PartsOfTheTimeThatAreNotKnownAreNull) {
    Snapshot snapshot = plain_snapshot();
    const std::pair<TimePart, const char*> members[] = {{TimePart::vmm, "vmm_ns"},
                                                        {TimePart::polled, "polled_ns"},
                                                        {TimePart::preempted, "preempted_ns"},
                                                        {TimePart::halted, "halted_ns"},
                                                        {TimePart::blocked, "blocked_ns"}};
    for (const TimeParts known :
         {TimeParts{}, TimeParts{TimePart::halted}, TimeParts{TimePart::vmm, TimePart::halted},
          TimeParts{TimePart::preempted, TimePart::blocked}, TimeParts::all()}) {
        snapshot.known_parts = known;
        const std::string text = to_json(snapshot);
        Snapshot read = snapshot;
        clear_unknown_parts(read);
        EXPECT_EQ(from_json(text), plain_run(read));
        std::string shorter = text;
        for (const auto& [part, member] : members) {
            const std::string unknown = fmt::format("\"{}\":null,", member);
            EXPECT_EQ(text.contains(unknown), !known.contains(part)) << member;
            shorter = without(std::move(shorter), unknown);
        }
        // A part that is missing is not known either.
        EXPECT_EQ(from_json(shorter), plain_run(read));
    }
}

TEST(Json, APartIsKnownWhereAllExitsHaveIt) {
    const Snapshot snapshot = plain_snapshot();
    std::string text = to_json(snapshot);
    const std::string first = "\"polled_ns\":0,";
    text.replace(text.find(first), first.size(), "");
    Snapshot expected = snapshot;
    expected.known_parts = TimeParts::all() - TimeParts{TimePart::polled};
    clear_unknown_parts(expected);
    EXPECT_EQ(from_json(text), plain_run(expected));
}

TEST(Json, RunsAreReadBack) {
    exittop::Run run;
    run.label = "ept=0";
    run.note = "a \"note\"";
    run.command = {"qemu-system-x86_64", "-m", "1G", ""};
    run.version = "0.1.0";
    run.started_at = "2026-03-01T11:59:50Z";
    run.repeats = {plain_snapshot(), plain_snapshot(), {}};
    run.repeats[1].vms[0].vcpus[0].exits[0].count = 7;
    run.repeats[1].vms[0].vmm_version = "7.2.22";
    run.repeats[1].vms[0].memory_bytes = 1U << 30;
    const auto read = from_json(to_json(run));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, run);
    // Those who know of no repetitions find the first one where they look for it.
    const std::string json = to_json(run);
    EXPECT_LT(json.find("\"vms\""), json.find("\"repeats\""));
}

TEST(Json, TheWayOfAttachingIsKnownOrNot) {
    Snapshot snapshot = plain_snapshot();
    const std::string json = to_json(snapshot);
    const auto renamed = from_json(replaced(json, R"("attach":"tp_btf")", R"("attach":"newer")"));
    ASSERT_TRUE(renamed) << renamed.error();
    EXPECT_EQ(renamed->repeats[0].attach, "newer");
    const auto older = from_json(replaced(json, R"("attach":"tp_btf",)", ""));
    ASSERT_TRUE(older) << older.error();
    snapshot.attach = "";
    EXPECT_EQ(*older, plain_run(snapshot));
    EXPECT_EQ(to_json(snapshot).find("\"attach\""), std::string::npos);
    const auto wrong = from_json(replaced(json, R"("attach":"tp_btf")", R"("attach":1)"));
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error(), "attach: must be a string");
}

TEST(Json, WhatWasNotCountedIsNotThere) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.detail = CountDetail::time;
    EXPECT_EQ(to_json(snapshot).find("\"histogram\":"), std::string::npos);
    EXPECT_NE(to_json(snapshot).find(R"("detail":"time")"), std::string::npos);
    snapshot.detail = CountDetail::count;
    snapshot.vms.resize(1);
    for (Vcpu& vcpu : snapshot.vms[0].vcpus) {
        vcpu.guest_ns = 0;
        for (ExitStats& stats : vcpu.exits) {
            ExitStats counted;
            counted.code = stats.code;
            counted.level = stats.level;
            counted.count = stats.count;
            stats = counted;
        }
    }
    EXPECT_EQ(to_json(snapshot).find("_ns\":0"), std::string::npos);
    const auto read = from_json(to_json(snapshot));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, plain_run(snapshot));
}

TEST(Json, AnySnapshotIsReadBack) {
    EXPECT_TRUE(rc::check("from_json(to_json(s)) == s", [] {
        Snapshot snapshot = plain_snapshot();
        snapshot.duration_s = *rc::gen::inRange(0, 1 << 30) / 1024.0;
        std::uint32_t code = 0;
        std::vector<ExitStats> exits;
        for (int i = *rc::gen::inRange(0, 6); i > 0; --i) {
            ExitStats stats;
            stats.code = code += *rc::gen::inRange(1U, 1U << 28);
            stats.count = *rc::gen::arbitrary<std::uint64_t>();
            stats.time_ns = *rc::gen::arbitrary<std::uint64_t>();
            stats.max_ns = *rc::gen::arbitrary<std::uint64_t>();
            stats.histogram.add(*rc::gen::inRange<std::size_t>(0, histogram_buckets),
                                *rc::gen::arbitrary<std::uint64_t>());
            exits.push_back(stats);
        }
        snapshot.vms[0].vcpus[1].exits = exits;
        const auto read = from_json(to_json(snapshot));
        RC_ASSERT(read.has_value());
        RC_ASSERT(*read == plain_run(snapshot));
    }));
}

TEST(Json, HostileTextIsAscii) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms[0].name = std::string("\x1b[31m\u009b\x7f\xff\0", 10) + std::string(9'000, 'A');
    snapshot.host.parameters["\xff"] = "\xfe";
    const std::string json = to_json(snapshot);
    for (const char c : json) {
        EXPECT_TRUE((static_cast<unsigned char>(c) >= 0x20 && c < 0x7f && c > 0) || c == '\n');
    }
    EXPECT_LT(json.size(), 6'000U);
    const auto read = from_json(json);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->repeats[0].vms[0].name.substr(0, 5), "\x1b[31m");
}

TEST(Json, OrderInTheFileDoesNotMatter) {
    const std::string json = replaced(to_json(plain_snapshot()), R"("vcpus":[{"id":0)",
                                      R"("vcpus":[{"exits":[],"id":7},{"id":0)");
    const auto read = from_json(json);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->repeats[0].vms[0].vcpus.back().id, 7U);
}

TEST(Json, KeysOfLaterVersionsAreLeftAlone) {
    const auto read = from_json(replaced(to_json(plain_snapshot()), R"("host":{)",
                                         R"("later":[{"x":1}],"host":{"too":null,)"));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, plain_run(plain_snapshot()));
}

TEST(Json, WhatOthersWroteMayLackOurExtras) {
    const auto read = from_json(R"({"schema":"exittop/1","taken_at":"","duration_s":1,
        "host":{"kernel":"","cpu":"","isa":"svm","paging":"npt","parameters":{}},
        "vms":[{"id":"1","pid":1,"name":"a","uuid":"","vmm":"qemu","isa":"svm","paging":"npt",
        "vcpus":[{"id":0,"exits":[{"reason":"hlt","code":120,"count":1,"time_ns":2,"max_ns":2,
        "vmm_ns":0,"halted_ns":1,"histogram":[[32,1]]}]}]}],"lost":{}})");
    ASSERT_TRUE(read) << read.error();
    const Snapshot& snapshot = read->repeats[0];
    EXPECT_EQ(snapshot.vms[0].vcpus[0].exits[0].level, GuestLevel::l1);
    EXPECT_FALSE(snapshot.vms[0].ended);
    EXPECT_EQ(snapshot.cost, Cost{});
}

TEST(Json, BadInputIsRefusedWithItsPlace) {
    struct Case {
        const char* from;
        const char* to;
        const char* error;
    };
    const Case cases[] = {
        {"\"exittop/1\"", "\"exittop/2\"", "schema: is \"exittop/2\", of another version"},
        {"\"exittop/1\"", "\"perf/1\"", "schema: must be \"exittop/1\""},
        {"\"taken_at\"", "\"label\":7,\"taken_at\"", "label: must be a string"},
        {"\"taken_at\"", "\"command\":\"x\",\"taken_at\"", "command: must be an array"},
        {"\"taken_at\"", "\"command\":[1],\"taken_at\"", "command[0]: must be a string"},
        {"\"taken_at\"", "\"repeats\":[{}],\"taken_at\"", "repeats[0]: has no \"taken_at\""},
        {"\"ended\"", "\"memory_bytes\":-1,\"ended\"", "vms[0].memory_bytes: must be a whole"},
        {"\"schema\"", "\"scheme\"", "the text: has no \"schema\""},
        {"\"duration_s\":10.0", "\"duration_s\":-1", "duration_s: must be a number of seconds"},
        {"\"duration_s\":10.0", "\"duration_s\":null", "duration_s: must be a number of seconds"},
        {"\"duration_s\":10.0", "\"duration_s\":1e999", "not JSON: number overflow"},
        {"\"pid\":4242", "\"pid\":-4", "vms[0].pid: must be a whole number from 0 to 4294967295"},
        {"\"pid\":4242", "\"pid\":4294967296", "vms[0].pid: must be a whole number"},
        {"\"pid\":4242", "\"pid\":1.5", "vms[0].pid: must be a whole number"},
        {"\"pid\":4242", "\"pid\":\"1\"", "vms[0].pid: must be a whole number"},
        {"\"pid\":4242", "\"pid\":1,\"pid\":2", "the key \"pid\" comes twice"},
        {"\"count\":25000", "\"count\":-1", "vms[0].vcpus[0].exits[0].count: must be a whole"},
        {"\"count\":25000", "\"count\":18446744073709551616", "exits[0].count: must be a whole"},
        {"\"count\":25000,", "", "vms[0].vcpus[0].exits[0]: has no \"count\""},
        {"\"code\":1,", "\"code\":10,", "vms[0].vcpus[0].exits: holds the same exit code twice"},
        {"\"level\":1", "\"level\":3", "level: must be 1 or 2"},
        {"[768,20000]", "[769,20000]", "histogram[0][0]: is not the end of a histogram bucket"},
        {"[768,20000]", "[0,20000]", "histogram[0][0]: is not the end of a histogram bucket"},
        {"[768,20000]", "[768]", "histogram[0]: must be [upper_ns, count]"},
        {"[768,20000]", "7", "histogram[0]: must be an array"},
        {"[768,20000]", "[1280,1],[768,20000]", "histogram[1][0]: must be above the one before"},
        {"\"id\":1,\"tid\"", "\"id\":0,\"tid\"", "vms[0].vcpus: holds the same vCPU twice"},
        {"\"id\":\"2\"", "\"id\":\"1\"", "vms: holds the same id twice"},
        {"\"isa\":\"vmx\"", "\"isa\":\"arm\"", "host.isa: must be \"vmx\", \"svm\" or a number"},
        {"\"paging\":\"ept\"", "\"paging\":\"x\"", "host.paging: must be"},
        {"\"kvm_intel.ept\":\"Y\"", "\"kvm_intel.ept\":1", "host.parameters.kvm_intel.ept: must"},
        {"\"ended\":false", "\"ended\":0", "vms[0].ended: must be true or false"},
        {"\"table_full\":0", "\"tables\":-1", "lost.tables: must be a whole number"},
        {"\"vcpus_used\":3", "\"vcpus_used\":-3", "cost.vcpus_used: must be a whole number"},
        {"\"lost\":{", "\"detail\":\"all\",\"lost\":{", "detail: must be \"count\""},
        {"\"cpu_ns\":31", "\"cpu_ns\":-31", "cost.cpu_ns: must be a whole number"},
        {"\"vms\":[", "\"vms\":[1,", "vms[0]: must be an object"},
        {"\"lost\":{", "\"lost\":[", "not JSON: "},
    };
    const std::string good = to_json(plain_snapshot());
    for (const Case& c : cases) {
        const auto read = from_json(replaced(good, c.from, c.to));
        ASSERT_FALSE(read) << c.to;
        EXPECT_NE(read.error().find(c.error), std::string::npos) << c.to << " -> " << read.error();
        EXPECT_EQ(read.error().find('\n'), std::string::npos);
    }
}

TEST(Json, TextThatIsNoSnapshot) {
    for (const char* text : {"", " ", "{", "[]", "null", "1", "\"x\"", "\xff\xfe", "{}x", "nan"}) {
        EXPECT_FALSE(from_json(text)) << text;
    }
    EXPECT_NE(from_json(std::string(100'000, '[')).error().find("nested"), std::string::npos);
    const std::string good = to_json(test::make_snapshot());
    for (std::size_t cut = 0; cut < good.size() - 2; cut += 97) {
        EXPECT_FALSE(from_json(std::string_view(good).substr(0, cut)));
    }
}

}  // namespace
}  // namespace exittop
