// SPDX-License-Identifier: GPL-2.0-only
// Command lines as the VMMs and what starts them really write them.
#include "vm_identity.h"

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
        {{"qemu-system-x86_64", "-enable-kvm", "-name", "web"}, "qemu-system-x86",
         {"web", "", "qemu"}},
        {{"/usr/bin/qemu-system-x86_64", "-M", "microvm", "-enable-kvm", "-m", "256"},
         "qemu-system-x86", {"qemu-system-x86-4242", "", "qemu"}},
        {{"/usr/libexec/qemu-kvm", "--name", "double-dash", "--uuid", uuid}, "qemu-kvm",
         {"double-dash", uuid, "qemu"}},
        {{"qemu-system-x86_64", "-name"}, "qemu-system-x86", {"qemu-system-x86-4242", "", "qemu"}},
        {{"qemu-system-x86_64", "-name", "x,debug-threads=on,process=y"}, "y", {"x", "", "qemu"}},
        {{"qemu-system-x86_64", "-name", "debug-threads=on"}, "qemu", {"qemu-4242", "", "qemu"}},
        {{".qemu-system-x86_64-wrapped", "-name", "nix"}, "qemu", {"nix", "", "qemu"}},
        // libvirt.
        {{"/usr/bin/qemu-system-x86_64", "-name", "guest=deb12,debug-threads=on", "-S", "-object",
          R"({"qom-type":"secret","id":"masterKey0","format":"raw"})", "-machine",
          "pc-q35-7.2,usb=off,vmport=off", "-accel", "kvm", "-uuid", uuid, "-msg", "timestamp=on"},
         "qemu-system-x86", {"deb12", uuid, "qemu"}},
        {{"/usr/bin/qemu-system-x86_64", "-name", "guest=a,,b=c,,,,d,debug-threads=on"},
         "qemu-system-x86", {"a,b=c,,d", "", "qemu"}},
        {{"/usr/bin/qemu-system-x86_64", "-name", "debug-threads=on,guest=last"}, "qemu-system-x86",
         {"last", "", "qemu"}},
        // Proxmox.
        {{"/usr/bin/kvm", "-id", "100", "-name", "mail,debug-threads=on", "-no-shutdown", "-smbios",
          "type=1,uuid=" + uuid}, "kvm", {"mail", uuid, "qemu"}},
        // Only the kernel's name for it is left.
        {{}, "qemu-system-x86", {"qemu-system-x86-4242", "", "qemu"}},
        {{"qemu-system-x86_64", "-uuid", "$(reboot)\n", "-name", "n"}, "q", {"n", "", "qemu"}},
        // Firecracker, by itself and by its jailer.
        {{"./firecracker", "--api-sock", "/tmp/fc.sock", "--id", "fc-7"}, "firecracker",
         {"fc-7", "", "firecracker"}},
        {{"firecracker-v1.7.0-x86_64", "--id=551e7604-e35c-42b3-b825-416853441234",
          "--start-time-us=1", "--no-api"}, "firecracker-v1.",
         {"551e7604-e35c-42b3-b825-416853441234", "", "firecracker"}},
        {{"firecracker", "--no-api"}, "firecracker", {"firecracker-4242", "", "firecracker"}},
        // Cloud Hypervisor, by hand, by libvirt, by Kata.
        {{"cloud-hypervisor", "--api-socket", "/run/vms/web.sock", "--cpus", "boot=2"},
         "cloud-hyperviso", {"web", "", "cloud-hypervisor"}},
        {{"/usr/bin/cloud-hypervisor", "--api-socket", "/run/libvirt/ch/db01-socket", "--platform",
          "serial_number=x,uuid=" + uuid}, "cloud-hyperviso", {"db01", uuid, "cloud-hypervisor"}},
        {{"cloud-hypervisor", "--api-socket=path=/run/vc/vm/0a1b2c/clh-api.sock"},
         "cloud-hyperviso", {"0a1b2c", "", "cloud-hypervisor"}},
        {{"cloud-hypervisor", "--kernel", "x"}, "cloud-hyperviso",
         {"cloud-hyperviso-4242", "", "cloud-hypervisor"}},
        // crosvm.
        {{"crosvm", "run", "--name", "arcvm", "-s", "/run/other.sock", "vmlinux"}, "crosvm",
         {"arcvm", "", "crosvm"}},
        {{"/usr/bin/crosvm", "--log-level=debug", "run", "--socket", "/run/vm/termina/crosvm.sock"},
         "crosvm", {"termina", "", "crosvm"}},
        {{"crosvm", "run", "-s", "/tmp/box.sock"}, "crosvm", {"box", "", "crosvm"}},
        // kvmtool: -n is its network.
        {{"lkvm", "run", "--name", "tiny", "-c", "2"}, "lkvm", {"tiny", "", "kvmtool"}},
        {{"./lkvm-static", "run", "-n", "mode=user"}, "lkvm-static",
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
        const VmIdentity identity = identify(c.argv, c.command, 4242);
        EXPECT_EQ(identity.name, c.expected.name);
        EXPECT_EQ(identity.uuid, c.expected.uuid) << c.expected.name;
        EXPECT_EQ(identity.vmm, c.expected.vmm) << c.expected.name;
    }
}

TEST(VmIdentity, NamesAreBounded) {
    const std::vector<std::string> argv = {"qemu-system-x86_64", "-name", std::string(4096, 'x')};
    EXPECT_EQ(identify(argv, "q", 1).name.size(), 1024U);
}

TEST(VmIdentity, AnyCommandLineHasAName) {
    EXPECT_TRUE(rc::check("identify", [](std::vector<std::string> argv, const std::string& value) {
        const auto program = rc::gen::element<std::string>("qemu-kvm", "firecracker", "crosvm",
                                                           "cloud-hypervisor", "lkvm", "x");
        argv.insert(argv.begin(), *program);
        argv.push_back(*rc::gen::element<std::string>("-name", "--id", "--api-socket", "--socket"));
        argv.push_back(value);
        const VmIdentity identity = identify(argv, "comm", 1);
        RC_ASSERT(!identity.name.empty());
        RC_ASSERT(identity.name.size() <= 1024U);
    }));
}

}  // namespace
}  // namespace exittop
