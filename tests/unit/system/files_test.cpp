// SPDX-License-Identifier: GPL-2.0-only
#include "system/files.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace exittop {
namespace {

namespace fs = std::filesystem;

class WriteFile : public testing::Test {
protected:
    WriteFile() {
        std::string name = fs::temp_directory_path() / "exittop-files-XXXXXX";
        EXPECT_NE(mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    ~WriteFile() override {
        if (mounted_) umount(folder_.c_str());
        fs::remove_all(folder_);
    }

    std::vector<std::string> names() const {
        std::vector<std::string> found;
        for (const auto& entry : fs::directory_iterator(folder_)) {
            found.push_back(entry.path().filename());
        }
        std::ranges::sort(found);
        return found;
    }

    // The one line that says why it failed.
    static std::string failure(const fs::path& path, std::string_view text, bool overwrite) {
        const auto written = write_file(path, text, overwrite);
        if (written) return "it worked";
        EXPECT_EQ(written.error().status, ExitStatus::failed);
        EXPECT_EQ(written.error().text.find_first_of("\n\x1b"), std::string::npos);
        return written.error().text;
    }

    static std::string content(const fs::path& path) { return read_file(path).value_or("absent"); }

    fs::path folder_;
    bool mounted_ = false;
};

TEST_F(WriteFile, IsThereInFullAndAlone) {
    const std::string text(300'000, 'x');
    ASSERT_TRUE(write_file(folder_ / "run.json", text, false));
    EXPECT_EQ(read_file(folder_ / "run.json", 400'000), text);
    EXPECT_EQ(names(), std::vector<std::string>{"run.json"});
}

TEST_F(WriteFile, HonoursTheUmask) {
    for (const auto& [mask, mode] : {std::pair{022U, 0644U}, std::pair{077U, 0600U}}) {
        const mode_t before = umask(mask);
        ASSERT_TRUE(write_file(folder_ / "run", "x", true));
        umask(before);
        struct stat status{};
        ASSERT_EQ(stat((folder_ / "run").c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777U, mode);
    }
}

TEST_F(WriteFile, KeepsWhatIsThereUnlessWanted) {
    ASSERT_TRUE(write_file(folder_ / "run", "old", false));
    EXPECT_NE(failure(folder_ / "run", "new", false).find("File exists"), std::string::npos);
    EXPECT_EQ(content(folder_ / "run"), "old");
    ASSERT_TRUE(write_file(folder_ / "run", "new", true));
    EXPECT_EQ(content(folder_ / "run"), "new");
    EXPECT_EQ(names(), std::vector<std::string>{"run"});
}

TEST_F(WriteFile, ThroughLinks) {
    fs::create_symlink("target", folder_ / "link");
    ASSERT_TRUE(write_file(folder_ / "link", "1", false));
    EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
    ASSERT_TRUE(write_file(folder_ / "link", "2", true));
    EXPECT_EQ(content(folder_ / "target"), "2");
}

TEST_F(WriteFile, ReplacesOnlyRegularFiles) {
    ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
    EXPECT_NE(failure(folder_ / "pipe", "x", true).find("not a regular file"), std::string::npos);
    EXPECT_NE(failure("/dev/full", "x", true).find("not a regular file"), std::string::npos);
    EXPECT_NE(failure(folder_, "x", true).find("Is a directory"), std::string::npos);
    EXPECT_NE(failure(folder_ / "no" / "run", "x", true).find("No such file"), std::string::npos);
    EXPECT_NE(failure("", "x", true).find("cannot write ''"), std::string::npos);
    EXPECT_EQ(names(), std::vector<std::string>{"pipe"});
}

TEST_F(WriteFile, NamesAreHarmlessInMessages) {
    EXPECT_NE(failure(folder_ / "no\x1b[2J\n" / "run", "x", false).find("no\\x1b[2J\\x0a/run"),
              std::string::npos);
}

TEST_F(WriteFile, LongestName) {
    const std::string longest(255, 'n');
    ASSERT_TRUE(write_file(folder_ / longest, "x", false));
    EXPECT_NE(failure(folder_ / (longest + "n"), "x", false).find("too long"), std::string::npos);
    EXPECT_EQ(names(), std::vector<std::string>{longest});
}

TEST_F(WriteFile, InTheWorkingFolder) {
    const fs::path before = fs::current_path();
    fs::current_path(folder_);
    const auto written = write_file("run", "x", false);
    fs::current_path(before);
    EXPECT_TRUE(written);
    EXPECT_EQ(names(), std::vector<std::string>{"run"});
}

TEST_F(WriteFile, PublishedFilesMayBeReadByAll) {
    const mode_t before = umask(077);
    const auto published = publish_file(folder_ / "a.prom", "1");
    umask(before);
    ASSERT_TRUE(published);
    struct stat status{};
    ASSERT_EQ(stat((folder_ / "a.prom").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0644U);
    ASSERT_TRUE(publish_file(folder_ / "a.prom", "2"));
    EXPECT_EQ(content(folder_ / "a.prom"), "2");
    withdraw_file(folder_ / "a.prom");
    withdraw_file(folder_ / "a.prom");
    EXPECT_EQ(names(), std::vector<std::string>{});
}

TEST_F(WriteFile, PublishesAndWithdrawsBehindALink) {
    fs::create_symlink("target.prom", folder_ / "link.prom");
    ASSERT_TRUE(publish_file(folder_ / "link.prom", "1"));
    EXPECT_EQ(content(folder_ / "target.prom"), "1");
    withdraw_file(folder_ / "link.prom");
    EXPECT_EQ(names(), std::vector<std::string>{"link.prom"});
}

// A child that publishes one generation after another until it is killed.
pid_t start_publisher(const fs::path& path, std::size_t size) {
    const pid_t child = fork();
    if (child != 0) return child;
    for (;;) {
        for (char generation = 'a'; generation <= 'z'; ++generation) {
            if (!publish_file(path, std::string(size, generation) + "\n")) _exit(1);
        }
    }
}

TEST_F(WriteFile, KilledAHundredTimesItIsTheOldFileOrTheNewOne) {
    constexpr std::size_t size = 500'000;
    const fs::path path = folder_ / "a.prom";
    int in_the_middle = 0;
    for (int round = 0; round < 100; ++round) {
        const pid_t child = start_publisher(path, size);
        ASSERT_GT(child, 0);
        usleep(static_cast<useconds_t>(500 + 97 * round));
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself with status " << status;
        if (fs::exists(folder_ / "a.prom.tmp")) ++in_the_middle;
        if (!fs::exists(path)) continue;  // Killed before the first was in place.
        const std::string text = read_file(path, size + 2).value_or("absent");
        ASSERT_EQ(text, std::string(size, text[0]) + "\n") << "round " << round;
    }
    EXPECT_GT(in_the_middle, 0) << "it was never killed while it wrote";
    ASSERT_TRUE(publish_file(path, "whole\n"));
    EXPECT_EQ(names(), std::vector<std::string>{"a.prom"}) << "what was left is used up";
}

TEST_F(WriteFile, OwnedByAnother) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(publish_file(folder_ / "a.prom", "root's"));
    constexpr uid_t nobody = 65534;
    // In a folder where everybody may do with the files of others: it is replaced.
    ASSERT_EQ(chmod(folder_.c_str(), 0777), 0);
    ASSERT_EQ(seteuid(nobody), 0);
    const auto replaced = publish_file(folder_ / "a.prom", "nobody's");
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_TRUE(replaced);
    EXPECT_EQ(content(folder_ / "a.prom"), "nobody's");
    // In one like /tmp, where nobody may: it stays, and nothing else is left.
    ASSERT_EQ(chown((folder_ / "a.prom").c_str(), 0, 0), 0);
    ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
    ASSERT_EQ(seteuid(nobody), 0);
    const auto refused = publish_file(folder_ / "a.prom", "again");
    ASSERT_EQ(seteuid(0), 0);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().text.find("not permitted"), std::string::npos)
        << refused.error().text;
    EXPECT_EQ(content(folder_ / "a.prom"), "nobody's");
    EXPECT_EQ(names(), std::vector<std::string>{"a.prom"});
}

// In a folder like /tmp, with root as the writer: what others put there leads nobody anywhere.
class WriteInASharedFolder : public WriteFile {
protected:
    static constexpr uid_t nobody = 65534;

    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root";
        ASSERT_TRUE(fs::create_directory(folder_ / "private"));
        ASSERT_TRUE(write_file(folder_ / "private" / "file", "private", false));
        shared_ = folder_ / "shared";
        ASSERT_TRUE(fs::create_directory(shared_));
        ASSERT_EQ(chmod(shared_.c_str(), 01777), 0);
    }

    /// A link of that user in the shared folder.
    fs::path link(const std::string& name, const fs::path& target, uid_t owner) const {
        fs::create_symlink(target, shared_ / name);
        EXPECT_EQ(lchown((shared_ / name).c_str(), owner, owner), 0);
        return shared_ / name;
    }

    std::string what_is_private() const { return content(folder_ / "private" / "file"); }

    fs::path shared_;
};

TEST_F(WriteInASharedFolder, LinksOfOthersAreNotFollowed) {
    const std::string said = failure(link("foreign", "../private/file", nobody), "new", true);
    EXPECT_EQ(said, "cannot write '" + (shared_ / "foreign").string() +
                        "': it is a link of user 65534 in a folder that everyone can write to; "
                        "remove it or name the file itself");
    EXPECT_EQ(what_is_private(), "private");
    const fs::path absent = link("new", "../private/new", nobody);
    EXPECT_NE(failure(absent, "new", false).find("a link of user 65534"), std::string::npos);
    EXPECT_FALSE(publish_file(absent, "new"));
    EXPECT_FALSE(check_writable(absent, false));
    EXPECT_FALSE(fs::exists(folder_ / "private" / "new"));
    withdraw_file(shared_ / "foreign");
    EXPECT_EQ(what_is_private(), "private");
}

TEST_F(WriteInASharedFolder, NorAreThoseOnTheWay) {
    const fs::path on_the_way = link("way", "../private", nobody);
    const std::string said = failure(on_the_way / "file", "new", true);
    EXPECT_NE(said.find("': '" + on_the_way.string() + "' is a link of user 65534"),
              std::string::npos)
        << said;
    // Nor where one's own link leads to another's.
    fs::create_symlink(on_the_way / "file", folder_ / "own");
    EXPECT_NE(failure(folder_ / "own", "new", true).find("a link of user 65534"),
              std::string::npos);
    EXPECT_FALSE(make_folder(on_the_way / "made"));
    EXPECT_FALSE(fs::exists(folder_ / "private" / "made"));
    EXPECT_EQ(what_is_private(), "private");
}

TEST_F(WriteInASharedFolder, NorWhereItIsTheWorkingFolder) {
    link("foreign", "../private/file", nobody);
    const fs::path before = fs::current_path();
    fs::current_path(shared_);
    const std::string said = failure("foreign", "new", true);
    fs::current_path(before);
    EXPECT_NE(said.find("it is a link of user 65534"), std::string::npos) << said;
    EXPECT_EQ(what_is_private(), "private");
}

TEST_F(WriteInASharedFolder, OnesOwnAndTheFolderOwnersAreFollowed) {
    EXPECT_TRUE(write_file(link("own", "../private/file", 0), "1", true));
    EXPECT_EQ(what_is_private(), "1");
    ASSERT_EQ(chown(shared_.c_str(), nobody, nobody), 0);
    EXPECT_TRUE(write_file(shared_ / "own", "2", true));
    EXPECT_TRUE(write_file(link("owners", "../private/file", nobody), "3", true));
    EXPECT_EQ(what_is_private(), "3");
}

TEST_F(WriteInASharedFolder, WhereOthersMayNotWriteLinksOfAllAreFollowed) {
    for (const mode_t mode : {0777U, 01775U, 0755U}) {  // As the kernel's rule has it.
        ASSERT_EQ(chmod(shared_.c_str(), mode), 0);
        const std::string text = std::to_string(mode);
        EXPECT_TRUE(write_file(link("link" + text, "../private/file", nobody), text, true));
        EXPECT_EQ(what_is_private(), text);
    }
}

TEST_F(WriteInASharedFolder, TemporaryFilesOfOthersAreNotWritten) {
    link("a.prom.tmp", "../private/file", nobody);
    EXPECT_TRUE(publish_file(shared_ / "a.prom", "metrics"));
    EXPECT_EQ(content(shared_ / "a.prom"), "metrics");
    EXPECT_EQ(what_is_private(), "private");
}

TEST_F(WriteFile, LinksThatGoInCirclesEnd) {
    fs::create_symlink("b", folder_ / "a");
    fs::create_symlink("a", folder_ / "b");
    EXPECT_NE(failure(folder_ / "a", "x", true).find("Too many levels"), std::string::npos);
    EXPECT_NE(failure(folder_ / "a" / "x", "x", true).find("Too many levels"), std::string::npos);
}

TEST_F(WriteFile, AllWaysToSpellAPath) {
    fs::create_directories(folder_ / "one/two");
    fs::create_directory_symlink("one/two", folder_ / "link");
    fs::create_directory_symlink(folder_ / "one", folder_ / "absolute");
    for (const char* name : {"plain", ".//one/./two///a", "one/../b", "link/c", "link/../d",
                             "absolute/e", "absolute/two/../../link/f"}) {
        EXPECT_TRUE(write_file(folder_ / name, name, false)) << name;
        EXPECT_EQ(content(folder_ / name), name);
    }
    for (const char* name : {"plain/x", "plain/", "absent/", "absent/../x"}) {
        EXPECT_FALSE(write_file(folder_ / name, "x", true)) << name;
    }
    for (const char* name : {"", ".", "one/", "one/two/..", "link"}) {
        EXPECT_NE(failure(folder_ / name, "x", true).find("Is a directory"), std::string::npos)
            << name;
    }
}

TEST_F(WriteFile, FoldersAreMade) {
    fs::create_directory(folder_ / "one");
    fs::create_directory_symlink("one", folder_ / "link");
    EXPECT_TRUE(make_folder(folder_ / "link/a/../b//c/"));
    EXPECT_TRUE(make_folder(folder_ / "link/a/../b//c/"));
    EXPECT_TRUE(fs::is_directory(folder_ / "one/b/c"));
    ASSERT_TRUE(write_file(folder_ / "file", "x", false));
    const auto made = make_folder(folder_ / "file/x");
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().text.find("cannot make the folder"), std::string::npos);
    EXPECT_NE(made.error().text.find("Not a directory"), std::string::npos);
}

TEST_F(WriteFile, FullDisk) {
    if (mount("none", folder_.c_str(), "tmpfs", 0, "size=64k") != 0) {
        ASSERT_EQ(errno, EPERM);
        GTEST_SKIP() << "may not mount";
    }
    mounted_ = true;
    ASSERT_TRUE(write_file(folder_ / "run", "old", false));
    const std::string much(1 << 20, 'x');
    EXPECT_NE(failure(folder_ / "run", much, true).find("No space left"), std::string::npos);
    EXPECT_EQ(content(folder_ / "run"), "old");
    EXPECT_EQ(names(), std::vector<std::string>{"run"});
}

TEST_F(WriteFile, ReadOnlyFolder) {
    const bool is_root = geteuid() == 0;
    if (is_root) {
        if (mount("none", folder_.c_str(), "tmpfs", MS_RDONLY, nullptr) != 0) {
            ASSERT_EQ(errno, EPERM);
            GTEST_SKIP() << "may not mount";
        }
        mounted_ = true;
    } else {
        fs::permissions(folder_, fs::perms::owner_read | fs::perms::owner_exec);
    }
    const std::string said = failure(folder_ / "run", "x", false);
    std::error_code ignored;
    fs::permissions(folder_, fs::perms::owner_all, ignored);
    EXPECT_NE(said.find(is_root ? "Read-only" : "Permission denied"), std::string::npos) << said;
}

}  // namespace
}  // namespace exittop
