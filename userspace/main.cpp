// SPDX-License-Identifier: GPL-2.0-only
// Entry point: command line in, status out.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <span>

#include "commands.h"
#include "files.h"
#include "options.h"

namespace {

/// Standard descriptors that are closed would be given to the next file opened, and what is printed
/// would end up there. True if stdout is open.
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

}  // namespace

int main(int argc, char** argv) {
    if (!secure_standard_descriptors()) {
        exittop::report("stdout is closed: nowhere to write to");
        return 1;
    }
    const auto options = exittop::parse(
        std::span<const char* const>(argv, static_cast<std::size_t>(argc)));
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
