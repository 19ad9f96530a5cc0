// SPDX-License-Identifier: GPL-2.0-only
#include "commands/selection.h"

#include <gtest/gtest.h>

namespace exittop {
namespace {

Vm vm_called(const char* name, std::uint32_t pid, std::optional<std::uint32_t> uid) {
    Vm vm;
    vm.name = name;
    vm.pid = pid;
    vm.uid = uid;
    return vm;
}

TEST(Selection, AllThatIsAskedForHasToMatch) {
    const Vm web = vm_called("web01", 7, 107);
    const Vm root = vm_called("web02", 8, 0);
    const Vm unknown = vm_called("web03", 9, {});
    struct Case {
        Selection wanted;
        bool web, root, unknown;
    };
    const std::vector<Case> cases = {
        {{}, true, true, true},
        {{.pid = 7}, true, false, false},
        {{.uid = 107}, true, false, false},
        {{.uid = 0}, false, true, false},
        {{.vm_glob = "web*"}, true, true, true},
        {{.vm_glob = "web0[12]"}, true, true, false},
        {{.vm_glob = "web"}, false, false, false},
        {{.pid = 7, .uid = 0}, false, false, false},
        {{.pid = 7, .uid = 107, .vm_glob = "*1"}, true, false, false},
    };
    for (std::size_t i = 0; i < cases.size(); ++i) {
        EXPECT_EQ(matches(web, cases[i].wanted), cases[i].web) << i;
        EXPECT_EQ(matches(root, cases[i].wanted), cases[i].root) << i;
        EXPECT_EQ(matches(unknown, cases[i].wanted), cases[i].unknown) << i;
    }
}

TEST(Selection, ItIsAnErrorIfNothingIsLeft) {
    struct Case {
        Selection wanted;
        const char* text;  // Empty: none.
    };
    for (const Case& c :
         std::vector<Case>{{{}, ""},
                           {{.uid = 107}, ""},
                           {{.uid = 5}, "no VM of user 5 was seen"},
                           {{.vm_glob = "mail*"}, "no VM matches 'mail*'"},
                           {{.uid = 5, .vm_glob = "web*"}, "no VM of user 5 matches 'web*'"},
                           {{.pid = 8}, "no VM of process 8 was seen"}}) {
        Snapshot snapshot;
        snapshot.vms = {vm_called("web01", 7, 107)};
        const auto kept = require_wanted(snapshot, c.wanted);
        EXPECT_EQ(kept ? "" : kept.error().text, c.text);
        EXPECT_EQ(snapshot.vms.size(), kept ? 1U : 0U);
    }
    Snapshot empty;
    EXPECT_TRUE(require_wanted(empty, {})) << "nothing was asked for";
}

}  // namespace
}  // namespace exittop
