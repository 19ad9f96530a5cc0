// SPDX-License-Identifier: GPL-2.0-only
// What is read of a host: made-up /proc and /sys below a temporary folder.
#include "system/host.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "system/files.h"

namespace exittop {
namespace {

namespace fs = std::filesystem;

class Hosts : public testing::Test {
protected:
    Hosts() {
        std::string name = (fs::temp_directory_path() / "exittop-host-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
        root_ = name;
    }
    ~Hosts() override { fs::remove_all(root_); }

    void write(const fs::path& path, std::string_view text) {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path, std::ios::binary) << text;
    }
    [[nodiscard]] Host host() const { return Host(root_); }

    fs::path root_;
};

TEST_F(Hosts, AnEmptyOneHasNothing) {
    EXPECT_FALSE(host().has_kvm());
    EXPECT_FALSE(host().vendor_module());
    EXPECT_TRUE(host().other_vendors().empty());
    EXPECT_FALSE(host().has_btf());
    EXPECT_EQ(host().lockdown(), "");
    EXPECT_FALSE(host().has_process(1));
    EXPECT_TRUE(host().arguments(1).empty());
    HostFacts expected;
    expected.kernel = "unknown";
    EXPECT_EQ(host().facts(), expected);
}

TEST_F(Hosts, WhoseProcessesAreShown) {
    struct Case {
        const char* what;
        const char* self;  // of /proc; and its PID namespace
        const char* name_space;
        std::uint64_t kernel_pid;
        ProcView::Numbers numbers;
    };
    using Numbers = ProcView::Numbers;
    constexpr pid_t own_pid = 42;
    const Case cases[] = {
        {"the kernel's", "42", "pid:[4026531836]", 42, Numbers::kernel},
        {"a namespace of its own", "42", "pid:[4026532000]", 4711, Numbers::own},
        {"the same number there and in the kernel", "42", "pid:[4026532000]", 42, Numbers::own},
        {"/proc of the kernel, from such a namespace", "4711", "pid:[4026532000]", 4711,
         Numbers::kernel},
        {"/proc of a third one", "7", "pid:[4026532000]", 4711, Numbers::unknown},
        {"none", nullptr, nullptr, 42, Numbers::unknown},
    };
    for (const Case& each : cases) {
        SCOPED_TRACE(each.what);
        fs::remove_all(root_ / "proc");
        if (each.self != nullptr) {
            fs::create_directories(root_ / "proc" / each.self / "ns");
            fs::create_symlink(each.self, root_ / "proc/self");
            fs::create_symlink(each.name_space, root_ / "proc" / each.self / "ns/pid");
        }
        EXPECT_TRUE(Host(root_, own_pid).proc_view(each.kernel_pid).hides_others);
        write("proc/1/comm", "init\n");
        EXPECT_EQ(Host(root_, own_pid).proc_view(each.kernel_pid),
                  (ProcView{each.numbers, false, true}));
        fs::create_directories(root_ / "proc/1/fd");
        EXPECT_EQ(Host(root_, own_pid).proc_view(each.kernel_pid),
                  (ProcView{each.numbers, false, false}));
    }
}

TEST_F(Hosts, WhenAProcessWasStarted) {
    EXPECT_FALSE(host().started_ns(12));
    write("proc/12/stat", "12 (a) b) (c) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4321 9 9");
    EXPECT_EQ(host().started_ns(12), 43'210'000'000U);
    write("proc/12/stat", "12 (cut");
    EXPECT_FALSE(host().started_ns(12));
    write("proc/12/stat", "12 (cut) S 1 12");
    EXPECT_FALSE(host().started_ns(12));
}

TEST_F(Hosts, WhoUsesAModuleAndHasAVm) {
    EXPECT_FALSE(host().module_users("kvm_amd"));
    EXPECT_TRUE(host().vm_processes().empty());
    write("sys/module/kvm_amd/refcnt", "2\n");
    EXPECT_EQ(host().module_users("kvm_amd"), 2U);
    for (const auto& [descriptor, target] :
         {std::pair{"proc/12/fd/3", "/dev/kvm"}, std::pair{"proc/34/fd/9", "anon_inode:kvm-vm"},
          std::pair{"proc/34/fd/10", "anon_inode:kvm-vm"},
          std::pair{"proc/self/fd/3", "anon_inode:kvm-vm"},
          std::pair{"proc/34/fd/12", "anon_inode:kvm-vcpu:11"},
          std::pair{"proc/34/fd/13", "anon_inode:kvm-vcpu:2"},
          std::pair{"proc/156/fd/1", "anon_inode:kvm-vm"}}) {
        fs::create_directories((root_ / descriptor).parent_path());
        fs::create_symlink(target, root_ / descriptor);
    }
    write("proc/34/comm", "qemu-system-x86\n");
    EXPECT_EQ(host().vm_processes(),
              (std::vector<KvmProcess>{{34, "qemu-system-x86", {2, 11}}, {156, "", {}}}));
    EXPECT_EQ(host().vm_processes({34}), (std::vector<KvmProcess>{{156, "", {}}}));
}

TEST_F(Hosts, ThatLoadNoModulesAnyMore) {
    EXPECT_FALSE(host().forbids_modules());
    write("proc/sys/kernel/modules_disabled", "0\n");
    EXPECT_FALSE(host().forbids_modules());
    write("proc/sys/kernel/modules_disabled", "1\n");
    EXPECT_TRUE(host().forbids_modules());
}

TEST_F(Hosts, KvmWithoutVendorModule) {
    write("sys/module/kvm/initstate", "live\n");
    EXPECT_TRUE(host().has_kvm());
    EXPECT_FALSE(host().vendor_module());
}

TEST_F(Hosts, AVendorModuleCountsOnceItIsLive) {
    write("sys/module/kvm_amd/initstate", "coming\n");
    EXPECT_FALSE(host().vendor_module());
    write("sys/module/kvm_amd/initstate", "live\n");
    EXPECT_EQ(host().vendor_module(), "kvm_amd");
    write("sys/module/kvm_amd/initstate", "going\n");
    EXPECT_FALSE(host().vendor_module());
}

TEST_F(Hosts, ABuiltInVendorModuleHasNoState) {
    write("sys/module/kvm_intel/parameters/ept", "Y\n");
    EXPECT_EQ(host().vendor_module(), "kvm_intel");
}

TEST_F(Hosts, OtherModulesOfKvmAreNamed) {
    for (const char* name : {"kvm", "kvm_pvm", "kvm_amd", "kvm_intel", "kvmgt", "kvm_a"}) {
        fs::create_directories(root_ / "sys/module" / name);
    }
    EXPECT_EQ(host().other_vendors(), (std::vector<std::string>{"kvm_a", "kvm_pvm"}));
}

TEST_F(Hosts, Btf) {
    write("sys/kernel/btf/vmlinux", "");
    EXPECT_TRUE(host().has_btf());
}

TEST_F(Hosts, LockdownInForceIsInBrackets) {
    const fs::path file = "sys/kernel/security/lockdown";
    write(file, "[none] integrity confidentiality\n");
    EXPECT_EQ(host().lockdown(), "none");
    write(file, "none [integrity] confidentiality\n");
    EXPECT_EQ(host().lockdown(), "integrity");
    write(file, "none integrity [confidentiality]\n");
    EXPECT_EQ(host().lockdown(), "confidentiality");
    for (const char* damaged : {"", "\n", "none", "]none[", "[none", "none]"}) {
        write(file, damaged);
        EXPECT_EQ(host().lockdown(), "") << damaged;
    }
}

TEST_F(Hosts, NameKernelAndCpu) {
    write("proc/sys/kernel/osrelease", "6.1.0-50-cloud-amd64\n");
    write("proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 1\n"
                          "model name\t: AMD EPYC: the 1st\nstepping\t: 2\n\nprocessor\t: 1\n"
                          "model name\t: another\n");
    write("proc/sys/kernel/hostname", "kvm07\n");
    EXPECT_EQ(host().facts().kernel, "6.1.0-50-cloud-amd64");
    EXPECT_EQ(host().facts().name, "kvm07");
    EXPECT_EQ(host().facts().cpu, "AMD EPYC: the 1st");
    write("proc/cpuinfo", "model name without a colon\nprocessor : 0\n");
    EXPECT_EQ(host().facts().cpu, "");
}

TEST_F(Hosts, AllParametersOfKvmAndItsVendorModule) {
    write("sys/module/kvm/parameters/halt_poll_ns", "200000\n");
    write("sys/module/kvm_amd/parameters/npt", "Y\n");
    write("sys/module/kvm_amd/parameters/nested", "1\n");
    write("sys/module/kvm_amd/parameters/empty", "");
    write("sys/module/other/parameters/npt", "N\n");
    const std::map<std::string, std::string> expected = {{"kvm.halt_poll_ns", "200000"},
                                                         {"kvm_amd.empty", ""},
                                                         {"kvm_amd.nested", "1"},
                                                         {"kvm_amd.npt", "Y"}};
    EXPECT_EQ(host().facts().parameters, expected);
    EXPECT_EQ(host().facts().isa, Isa::svm);
}

TEST_F(Hosts, PagingIsAParameterThatIsABoolOrAnInt) {
    const fs::path npt = "sys/module/kvm_amd/parameters/npt";
    for (const auto& [value, paging] : {std::pair("Y\n", Paging::npt),
                                        {"1\n", Paging::npt},
                                        {"N\n", Paging::shadow},
                                        {"0\n", Paging::shadow}}) {
        write(npt, value);
        EXPECT_EQ(host().facts().paging, paging) << value;
    }
    fs::remove_all(root_ / "sys/module/kvm_amd");
    const fs::path ept = "sys/module/kvm_intel/parameters/ept";
    write(ept, "Y\n");
    EXPECT_EQ(host().facts().paging, Paging::ept);
    EXPECT_EQ(host().facts().isa, Isa::vmx);
    write(ept, "N\n");
    EXPECT_EQ(host().facts().paging, Paging::shadow);
}

TEST_F(Hosts, ArgumentsOfAProcess) {
    using namespace std::string_literals;
    write("proc/42/cmdline", "qemu\0-name\0guest=a b,debug-threads=on\0\0-m\0"s);
    EXPECT_TRUE(host().has_process(42));
    EXPECT_FALSE(host().has_process(4));
    EXPECT_EQ(host().arguments(42),
              (std::vector<std::string>{"qemu", "-name", "guest=a b,debug-threads=on", "", "-m"}));
    EXPECT_TRUE(host().arguments(43).empty());
    // A process may write over its arguments, and leave out the last NUL.
    write("proc/42/cmdline", "firecracker");
    EXPECT_EQ(host().arguments(42), std::vector<std::string>{"firecracker"});
    write("proc/42/cmdline", "");
    EXPECT_TRUE(host().arguments(42).empty());
}

TEST_F(Hosts, ArgumentsKeepHostileBytes) {
    std::string every_byte;
    for (int byte = 1; byte < 256; ++byte) every_byte += static_cast<char>(byte);
    write("proc/42/cmdline", every_byte + '\0' + "\x1b]0;title\a\n\xff\xfe" + '\0');
    EXPECT_EQ(host().arguments(42),
              (std::vector<std::string>{every_byte, "\x1b]0;title\a\n\xff\xfe"}));
}

TEST_F(Hosts, ArgumentsAreBounded) {
    write("proc/42/cmdline", std::string(1'000'000, 'a'));
    ASSERT_EQ(host().arguments(42).size(), 1U);
    EXPECT_EQ(host().arguments(42)[0].size(), 131'072U);
    write("proc/42/cmdline", std::string(1'000'000, '\0'));
    EXPECT_EQ(host().arguments(42).size(), 131'072U);
}

TEST_F(Hosts, PodsByTheirFoldersOfLogs) {
    const std::string uid = "8d2f6f1e-0c5a-4b8e-9a53-3b1f0d9f6c11";
    EXPECT_EQ(host().pod(uid), (Pod{"", "", uid}));
    for (const char* name : {"shop_virt-launcher-db-x7k2p_", "kube-system_dns_0"}) {
        fs::create_directories(root_ / "var/log/pods" / (name + uid));
    }
    fs::create_directories(root_ / "var/log/pods/lost+found");
    EXPECT_EQ(host().pod(uid), (Pod{"virt-launcher-db-x7k2p", "shop", uid}));
    EXPECT_EQ(host().pod("lost+found"), (Pod{"", "", "lost+found"}));
}

TEST_F(Hosts, UidAndExecutableOfAProcess) {
    EXPECT_FALSE(host().uid(42));
    EXPECT_EQ(host().executable(42), "");
    // A name cannot hold a newline there; the effective uid is the second.
    write("proc/42/status", "Name:\ta\\nUid:\t0\t0\nUmask:\t0022\nUid:\t1000\t64055\t0\t0\n");
    EXPECT_EQ(host().uid(42), 64055U);
    for (const char* damaged :
         {"", "Uid:\n", "Uid:\tx\ty\n", "Uid:\t1\n", "Uid:\t0\t4294967296\n"}) {
        write("proc/42/status", damaged);
        EXPECT_FALSE(host().uid(42)) << damaged;
    }
    fs::create_symlink("/usr/bin/q \x1b[2J (deleted)", root_ / "proc/42/exe");
    EXPECT_EQ(host().executable(42), "/usr/bin/q \x1b[2J (deleted)");
    const Host real;
    const auto own = static_cast<std::uint32_t>(getpid());
    EXPECT_EQ(real.uid(own), geteuid());
    EXPECT_NE(real.executable(own).find("exittop_unit"), std::string::npos);
}

TEST_F(Hosts, CgroupOfAProcess) {
    EXPECT_EQ(host().cgroup(42), "");
    write("proc/42/cgroup", "0::/machine.slice\n");
    EXPECT_EQ(host().cgroup(42), "0::/machine.slice\n");
}

TEST_F(Hosts, AProcessThatIsAlive) {
    const Host real;
    EXPECT_TRUE(real.has_process(static_cast<std::uint32_t>(getpid())));
    EXPECT_FALSE(real.arguments(static_cast<std::uint32_t>(getpid())).empty());
    EXPECT_NE(real.facts().kernel, "unknown");
}

TEST_F(Hosts, FoldersWhereFilesShouldBeAreNoFiles) {
    fs::create_directories(root_ / "proc/cpuinfo");
    fs::create_directories(root_ / "proc/42/cmdline");
    fs::create_directories(root_ / "sys/module/kvm_amd/initstate");
    EXPECT_EQ(host().facts().cpu, "");
    EXPECT_TRUE(host().arguments(42).empty());
}

TEST_F(Hosts, SmallFiles) {
    EXPECT_FALSE(read_file(root_ / "none"));
    EXPECT_FALSE(read_line(root_ / "none"));
    write("text", "one\ntwo\n");
    EXPECT_EQ(read_file(root_ / "text"), "one\ntwo\n");
    EXPECT_EQ(read_file(root_ / "text", 5), "one\nt");
    EXPECT_EQ(read_line(root_ / "text"), "one");
    write("text", "");
    EXPECT_EQ(read_file(root_ / "text"), "");
    EXPECT_EQ(read_line(root_ / "text"), "");
}

}  // namespace
}  // namespace exittop
