// SPDX-License-Identifier: GPL-2.0-only
// Entry point: command line in, status out.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>
#include <span>

#include "base/text.h"
#include "commands/commands.h"
#include "commands/options.h"
#include "system/files.h"

namespace {

/// If a standard descriptor is closed, the next opened file would get its number, and output would
/// go there. True if stdout is open.
bool secure_standard_descriptors() {
    const bool stdout_open = fcntl(STDOUT_FILENO, F_GETFD) != -1;
    while (true) {
        const int descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (descriptor > STDERR_FILENO || descriptor < 0) {
            if (descriptor >= 0) close(descriptor);
            return stdout_open;
        }
    }
}

int run_main(int argc, char** argv) {
    if (!secure_standard_descriptors()) {
        exittop::report("stdout is closed: nowhere to write to");
        return 1;
    }
    const auto options =
        exittop::parse(std::span<const char* const>(argv, static_cast<std::size_t>(argc)));
    if (!options) {
        const auto& end = options.error();
        if (end.to_stderr) {
            std::fputs(end.text.c_str(), stderr);
        } else if (const auto written = exittop::write_stdout(end.text); !written) {
            exittop::report(written.error().text);
            return static_cast<int>(written.error().status);
        }
        return end.status;
    }
    return exittop::run(*options);
}

}  // namespace

/// Errors are values (error.h). An exception means a lack of memory or an unexpected fault. It is
/// caught only here, so that on the way destructors undo all that exittop has changed; uncaught, it
/// would end the process at once, without that.
int main(int argc, char** argv) {
    try {
        return run_main(argc, argv);
    } catch (const std::bad_alloc&) {
        exittop::report("out of memory");
    } catch (const std::exception& error) {
        exittop::report(exittop::sanitise(error.what(), 400));
    } catch (...) {
        exittop::report("failed for a reason that is not known");
    }
    return static_cast<int>(exittop::ExitStatus::failed);
}
