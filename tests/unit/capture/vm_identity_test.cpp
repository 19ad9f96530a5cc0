// SPDX-License-Identifier: GPL-2.0-only
// Command lines as the VMMs and what starts them really write them.
#include "capture/vm_identity.h"

#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace exittop {
namespace {

struct Case {
    std::vector<std::string> argv;
    const char* command;
    VmIdentity expected;
};

const std::vector<Case>& cases() {
    static const std::string uuid = "8a6f4c0e-5f0b-4d3c-9a53-3b1f0d9f6c11";
    static const std::vector<Case> table = {
        // By hand.
        {{"qemu-system-x86_64", "-enable-kvm", "-name", "web"},
         "qemu-system-x86",
         {"web", "", "qemu"}},
        {{"/usr/bin/qemu-system-x86_64", "-M", "microvm", "-enable-kvm", "-m", "256"},
         "qemu-system-x86",
         {"qemu-system-x86-4242", "", "qemu"}},
        {{"/usr/libexec/qemu-kvm", "--name", "double-dash", "--uuid", uuid},
         "qemu-kvm",
         {"double-dash", uuid, "qemu"}},
        {{"qemu-system-x86_64", "-name"}, "qemu-system-x86", {"qemu-system-x86-4242", "", "qemu"}},
        {{"qemu-system-x86_64", "-name", "x,debug-threads=on,process=y"}, "y", {"x", "", "qemu"}},
        {{"qemu-system-x86_64", "-name", "debug-threads=on"}, "qemu", {"qemu-4242", "", "qemu"}},
        {{".qemu-system-x86_64-wrapped", "-name", "nix"}, "qemu", {"nix", "", "qemu"}},
        // libvirt.
        {{"/usr/bin/qemu-system-x86_64", "-name", "guest=deb12,debug-threads=on", "-S", "-object",
          R"({"qom-type":"secret","id":"masterKey0","format":"raw"})", "-machine",
          "pc-q35-7.2,usb=off,vmport=off", "-accel", "kvm", "-uuid", uuid, "-msg", "timestamp=on"},
         "qemu-system-x86",
         {"deb12", uuid, "qemu"}},
        {{"/usr/bin/qemu-system-x86_64", "-name", "guest=a,,b=c,,,,d,debug-threads=on"},
         "qemu-system-x86",
         {"a,b=c,,d", "", "qemu"}},
        {{"/usr/bin/qemu-system-x86_64", "-name", "debug-threads=on,guest=last"},
         "qemu-system-x86",
         {"last", "", "qemu"}},
        // Proxmox.
        {{"/usr/bin/kvm", "-id", "100", "-name", "mail,debug-threads=on", "-no-shutdown", "-smbios",
          "type=1,uuid=" + uuid},
         "kvm",
         {"mail", uuid, "qemu"}},
        // Only the kernel's name for it is left.
        {{}, "qemu-system-x86", {"qemu-system-x86-4242", "", "qemu"}},
        {{"qemu-system-x86_64", "-uuid", "$(reboot)\n", "-name", "n"}, "q", {"n", "", "qemu"}},
        // Firecracker, by itself and by its jailer.
        {{"./firecracker", "--api-sock", "/tmp/fc.sock", "--id", "fc-7"},
         "firecracker",
         {"fc-7", "", "firecracker"}},
        {{"firecracker-v1.7.0-x86_64", "--id=551e7604-e35c-42b3-b825-416853441234",
          "--start-time-us=1", "--no-api"},
         "firecracker-v1.",
         {"551e7604-e35c-42b3-b825-416853441234", "", "firecracker"}},
        {{"firecracker", "--no-api"}, "firecracker", {"firecracker-4242", "", "firecracker"}},
        // Cloud Hypervisor, by hand, by libvirt, by Kata.
        {{"cloud-hypervisor", "--api-socket", "/run/vms/web.sock", "--cpus", "boot=2"},
         "cloud-hyperviso",
         {"web", "", "cloud-hypervisor"}},
        {{"/usr/bin/cloud-hypervisor", "--api-socket", "/run/libvirt/ch/db01-socket", "--platform",
          "serial_number=x,uuid=" + uuid},
         "cloud-hyperviso",
         {"db01", uuid, "cloud-hypervisor"}},
        {{"cloud-hypervisor", "--api-socket=path=/run/vc/vm/0a1b2c/clh-api.sock"},
         "cloud-hyperviso",
         {"0a1b2c", "", "cloud-hypervisor"}},
        {{"cloud-hypervisor", "--kernel", "x"},
         "cloud-hyperviso",
         {"cloud-hyperviso-4242", "", "cloud-hypervisor"}},
        // crosvm.
        {{"crosvm", "run", "--name", "arcvm", "-s", "/run/other.sock", "vmlinux"},
         "crosvm",
         {"arcvm", "", "crosvm"}},
        {{"/usr/bin/crosvm", "--log-level=debug", "run", "--socket", "/run/vm/termina/crosvm.sock"},
         "crosvm",
         {"termina", "", "crosvm"}},
        {{"crosvm", "run", "-s", "/tmp/box.sock"}, "crosvm", {"box", "", "crosvm"}},
        // kvmtool: -n is its network.
        {{"lkvm", "run", "--name", "tiny", "-c", "2"}, "lkvm", {"tiny", "", "kvmtool"}},
        {{"./lkvm-static", "run", "-n", "mode=user"},
         "lkvm-static",
         {"lkvm-static-4242", "", "kvmtool"}},
        {{"lkvm", "run", "-k", "bzImage"}, "kvm-vcpu-0", {"kvm-vcpu-0-4242", "", "kvmtool"}},
        // Others.
        {{"./my-vmm", "--name", "x"}, "my-vmm", {"my-vmm-4242", "", "my-vmm"}},
        {{}, "", {"vm-4242", "", ""}},
    };
    return table;
}

TEST(VmIdentity, RealCommandLines) {
    for (const Case& c : cases()) {
        const VmIdentity identity = identify({c.argv, c.command, 4242});
        EXPECT_EQ(identity.name, c.expected.name);
        EXPECT_EQ(identity.uuid, c.expected.uuid) << c.expected.name;
        EXPECT_EQ(identity.vmm, c.expected.vmm) << c.expected.name;
    }
}

struct CgroupCase {
    const char* what;
    std::vector<std::string> argv;
    const char* command;
    std::string cgroup;
    VmIdentity expected;
    Pod pod;
};

const std::vector<CgroupCase>& cgroup_cases() {
    static const std::string uid = "8d2f6f1e-0c5a-4b8e-9a53-3b1f0d9f6c11";
    static const std::string vm_uuid = "5d307ca9-b3ef-428c-8861-06e72d69f223";
    static const std::string container(64, 'c');
    static const std::vector<std::string> kubevirt = {
        "/usr/libexec/qemu-kvm",
        "-name",
        "guest=shop_db-vm,debug-threads=on",
        "-S",
        "-machine",
        "pc-q35-rhel9.4.0,usb=off,dump-guest-core=off,memory-backend=pc.ram",
        "-accel",
        "kvm",
        "-uuid",
        vm_uuid,
        "-smbios",
        "type=1,manufacturer=KubeVirt,product=None,uuid=" + vm_uuid};
    static const std::vector<std::string> bare_qemu = {"qemu-system-x86_64", "-enable-kvm"};
    static const std::vector<CgroupCase> table = {
        {"KubeVirt, cgroups v2, systemd",
         kubevirt,
         "qemu-kvm",
         "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8d2f6f1e_0c5a_4b8e_"
         "9a53_3b1f0d9f6c11.slice/cri-containerd-" +
             container + ".scope\n",
         {"shop_db-vm", vm_uuid, "qemu"},
         {"", "shop", uid}},
        {"KubeVirt, guaranteed, CRI-O",
         kubevirt,
         "qemu-kvm",
         "0::/kubepods.slice/kubepods-pod8d2f6f1e_0c5a_4b8e_9a53_3b1f0d9f6c11.slice/crio-" +
             container + ".scope/container\n",
         {"shop_db-vm", vm_uuid, "qemu"},
         {"", "shop", uid}},
        {"KubeVirt, cgroups v1, cgroupfs",
         kubevirt,
         "qemu-kvm",
         "12:pids:/kubepods/burstable/pod" + uid + "/" + container +
             "\n11:memory:/kubepods/x\n0::/\n",
         {"shop_db-vm", vm_uuid, "qemu"},
         {"", "shop", uid}},
        {"KubeVirt, as seen from another cgroup",
         kubevirt,
         "qemu-kvm",
         "0::/../../kubepods-burstable.slice/kubepods-burstable-pod8d2f6f1e_0c5a_4b8e_9a53_"
         "3b1f0d9f6c11.slice/x\n",
         {"shop_db-vm", vm_uuid, "qemu"},
         {"", "shop", uid}},
        {"a static pod",
         {"cloud-hypervisor"},
         "cloud-hyperviso",
         "0::/kubepods.slice/kubepods-pod0123456789abcdef0123456789abcdef.slice/x\n",
         {"cloud-hyperviso-4242", "", "cloud-hypervisor"},
         {"", "", "0123456789abcdef0123456789abcdef"}},
        {"Kata",
         {"/opt/kata/bin/qemu-system-x86_64", "-name", "sandbox-" + container + ",debug-threads=on",
          "-uuid", vm_uuid},
         "qemu-system-x86",
         "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod8d2f6f1e_0c5a_4b8e_"
         "9a53_3b1f0d9f6c11.slice/cri-containerd-" +
             container + ".scope\n",
         {"sandbox-" + container, vm_uuid, "qemu"},
         {"", "", uid}},
        {"no pod, though named so",
         bare_qemu,
         "qemu",
         "0::/podman/podded.slice/pod-1\n",
         {"qemu-4242", "", "qemu"},
         {}},
        {"libvirt, named on the command line",
         {"qemu-system-x86_64", "-name", "guest=web"},
         "qemu",
         "0::/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/libvirt/emulator\n",
         {"web", "", "qemu"},
         {}},
        {"libvirt, whose command line is hidden",
         {},
         "qemu-system-x86",
         "0::/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/libvirt/emulator\n",
         {"web", "", "qemu"},
         {}},
        {"another machine",
         bare_qemu,
         "qemu",
         "0::/machine.slice/machine-qemu\\x2dold.scope\n",
         {"qemu-old", "", "qemu"},
         {}},
        {"part of a service",
         bare_qemu,
         "qemu",
         "0::/system.slice/docker.service/x\n",
         {"qemu-4242", "", "qemu"},
         {}},
        {"a service of its own",
         {"firecracker", "--no-api", "--config-file", "/etc/vms/a.json"},
         "firecracker",
         "0::/system.slice/system-microvm.slice/microvm@web.service\n",
         {"microvm@web", "", "firecracker"},
         {}},
        {"a service",
         bare_qemu,
         "qemu",
         "0::/system.slice/router-vm.service\n",
         {"router-vm", "", "qemu"},
         {}},
        {"Firecracker's jailer",
         {"firecracker", "--id", "551e7604", "--start-time-us", "1"},
         "firecracker",
         "0::/firecracker/551e7604\n",
         {"551e7604", "", "firecracker"},
         {}},
        {"Firecracker's jailer, by its folder",
         {"firecracker"},
         "firecracker",
         "0::/firecracker/551e7604\n",
         {"551e7604", "", "firecracker"},
         {}},
        {"somebody's session",
         bare_qemu,
         "qemu",
         "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
         {"qemu-4242", "", "qemu"},
         {}},
        {"no cgroup", bare_qemu, "qemu", "0::/\n", {"qemu-4242", "", "qemu"}, {}},
    };
    return table;
}

TEST(VmIdentity, RealCgroups) {
    for (const CgroupCase& c : cgroup_cases()) {
        const VmIdentity identity = identify({c.argv, c.command, 4242, c.cgroup});
        EXPECT_EQ(identity.name, c.expected.name) << c.what;
        EXPECT_EQ(identity.uuid, c.expected.uuid) << c.what;
        EXPECT_EQ(identity.vmm, c.expected.vmm) << c.what;
        EXPECT_EQ(identity.pod, c.pod)
            << c.what << ": " << identity.pod.name_space << " " << identity.pod.uid;
    }
}

TEST(VmIdentity, AnyCgroupIsHarmless) {
    EXPECT_TRUE(rc::check("cgroup", [](const std::string& noise) {
        const auto start = *rc::gen::element<std::string>(
            "", "0::/", "0::/machine.slice/machine-\\x", "0::/kubepods/pod", "0::/system.slice/");
        const std::string cgroup = start + noise;
        const VmIdentity identity = identify({{}, "vmm", 1, cgroup});
        RC_ASSERT(!identity.name.empty());
        RC_ASSERT(identity.name.size() <= 1024U);
    }));
}

TEST(VmIdentity, MemoryAsEachVmmTakesIt) {
    constexpr std::uint64_t mebibyte = 1U << 20;
    const std::pair<std::vector<std::string>, std::uint64_t> memory[] = {
        {{"qemu-system-x86_64", "-m", "256"}, 256 * mebibyte},
        {{"qemu-system-x86_64", "-m", "2G"}, 2048 * mebibyte},
        {{"qemu-system-x86_64", "-m", "size=1048576k,slots=4,maxmem=8G"}, 1024 * mebibyte},
        {{"qemu-system-x86_64"}, 0},
        {{"qemu-system-x86_64", "-m", "lots"}, 0},
        {{"qemu-system-x86_64", "-m", "99999999999999999999"}, 0},
        {{"qemu-system-x86_64", "-m", "18446744073709551615T"}, 0},
        {{"qemu-system-x86_64", "-m", "-5"}, 0},
        {{"cloud-hypervisor", "--memory", "size=512M,shared=on"}, 512 * mebibyte},
        {{"crosvm", "run", "--mem", "512"}, 512 * mebibyte},
        {{"lkvm", "run", "-m", "320"}, 320 * mebibyte},
        {{"firecracker", "--id", "x"}, 0},
    };
    for (const auto& [argv, bytes] : memory) {
        EXPECT_EQ(identify({.argv = argv, .command = "comm", .pid = 1}).memory_bytes, bytes)
            << argv.back();
    }
}

TEST(VmIdentity, NamesAreBounded) {
    const std::vector<std::string> argv = {"qemu-system-x86_64", "-name", std::string(4096, 'x')};
    EXPECT_EQ(identify({argv, "q", 1}).name.size(), 1024U);
}

TEST(VmIdentity, AnyCommandLineHasAName) {
    EXPECT_TRUE(rc::check("identify", [](std::vector<std::string> argv, const std::string& value) {
        const auto program = rc::gen::element<std::string>("qemu-kvm", "firecracker", "crosvm",
                                                           "cloud-hypervisor", "lkvm", "x");
        argv.insert(argv.begin(), *program);
        argv.push_back(*rc::gen::element<std::string>("-name", "--id", "--api-socket", "--socket"));
        argv.push_back(value);
        const VmIdentity identity = identify({argv, "comm", 1});
        RC_ASSERT(!identity.name.empty());
        RC_ASSERT(identity.name.size() <= 1024U);
    }));
}

}  // namespace
}  // namespace exittop
