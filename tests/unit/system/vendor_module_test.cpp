// SPDX-License-Identifier: GPL-2.0-only
// Reloading a module of a made-up host, and restoring it, above all by an exception.
#include "system/vendor_module.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace exittop {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A host with kvm_amd, whose parameters become what modprobe is told.
class VendorModules : public testing::Test {
protected:
    VendorModules() {
        fs::create_directories(folder() / "parameters");
        write(folder() / "refcnt", "0");
        set("npt", "Y");
        set("nested", "N");
    }
    ~VendorModules() override { fs::remove_all(root_); }

    static fs::path temporary_folder() {
        std::string name = (fs::temp_directory_path() / "exittop-module-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
        return name;
    }
    [[nodiscard]] fs::path folder() const { return root_ / "sys/module/kvm_amd"; }
    static void write(const fs::path& path, const std::string& text) {
        std::ofstream(path) << text << "\n";
    }
    void set(const std::string& parameter, const std::string& value) const {
        write(folder() / "parameters" / parameter, value);
    }

    VendorModule found() {
        auto module =
            VendorModule::find(host_, {.remove =
                                           [this](const std::string& name) {
                                               done_.push_back("remove " + name);
                                               return cannot_remove_;
                                           },
                                       .modprobe =
                                           [this](const std::vector<std::string>& arguments) {
                                               return modprobe(arguments);
                                           }});
        if (!module) throw std::runtime_error(module.error().text);
        return std::move(*module);
    }

    int modprobe(const std::vector<std::string>& arguments) {
        std::string line = "modprobe";
        for (const std::string& argument : arguments) {
            line += " " + argument;
            const auto equals = argument.find('=');
            if (equals == argument.npos) continue;
            set(argument.substr(0, equals), argument.substr(equals + 1));
        }
        done_.push_back(line);
        if (throws_) throw std::bad_alloc();
        return 0;
    }

    fs::path root_ = temporary_folder();
    Host host_{root_};
    std::vector<std::string> done_;
    int cannot_remove_ = 0;
    bool throws_ = false;
};

TEST_F(VendorModules, AreLoadedInTheOtherWayAndAsTheyWere) {
    VendorModule module = found();
    EXPECT_TRUE(module.had_nested_paging());
    ASSERT_TRUE(module.reload(false));
    ASSERT_TRUE(module.restore());
    ASSERT_TRUE(module.restore());  // Nothing is left to do.
    EXPECT_THAT(done_, ElementsAre("remove kvm_amd", "modprobe kvm_amd npt=N", "remove kvm_amd",
                                   "modprobe kvm_amd npt=Y"));
}

TEST_F(VendorModules, ThatWereNotTouchedStay) {
    { const VendorModule module = found(); }
    EXPECT_THAT(done_, IsEmpty());
}

TEST_F(VendorModules, AnExceptionPutsThemBack) {
    const auto work = [this] {
        VendorModule module = found();
        ASSERT_TRUE(module.reload(false));
        throw std::bad_alloc();
    };
    EXPECT_THROW(work(), std::bad_alloc);
    EXPECT_EQ(done_.back(), "modprobe kvm_amd npt=Y");
}

TEST_F(VendorModules, AnExceptionWithinTheReloadDoes) {
    const auto work = [this] {
        VendorModule module = found();
        throws_ = true;
        try {
            (void)module.reload(false);
        } catch (const std::bad_alloc&) {
            throws_ = false;
            throw;
        }
    };
    EXPECT_THROW(work(), std::bad_alloc);
    EXPECT_EQ(done_.back(), "modprobe kvm_amd npt=Y");
}

TEST_F(VendorModules, OneThatCannotBePutBackIsToldInALine) {
    testing::internal::CaptureStderr();
    {
        VendorModule module = found();
        EXPECT_TRUE(module.reload(false));
        throws_ = true;  // In the destructor: it must not end the process.
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "exittop: kvm_amd has to be loaded as it was by hand: rmmod kvm_amd; "
              "modprobe kvm_amd npt=1\n");
    testing::internal::CaptureStderr();
    {
        VendorModule module = found();
        throws_ = false;
        EXPECT_TRUE(module.reload(true));
        cannot_remove_ = EPERM;
    }
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                HasSubstr("cannot unload kvm_amd: Operation not permitted; kvm_amd has to be "));
}

TEST_F(VendorModules, OneWithoutItsParameterIsRefused) {
    fs::remove(folder() / "parameters" / "npt");
    const auto module = VendorModule::find(host_);
    ASSERT_FALSE(module);
    EXPECT_THAT(module.error().text, HasSubstr("does not say what its parameter npt is"));
}

}  // namespace
}  // namespace exittop
