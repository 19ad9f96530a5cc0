// SPDX-License-Identifier: GPL-2.0-only
// Memory that user space and BPF programs share, and how to wait until no program uses it any more.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/file_descriptor.h"

namespace exittop {

/// Memory of a BPF array, shared with the programs that write it; unmapped with the value.
class SharedMemory {
public:
    SharedMemory() = default;
    /// Maps all of it, for reading and writing; empty, with errno set, if the kernel refuses.
    SharedMemory(int map, std::size_t size)
        : start_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0)), size_(size) {}
    SharedMemory(SharedMemory&& other) noexcept
        : start_(std::exchange(other.start_, MAP_FAILED)), size_(other.size_) {}
    SharedMemory& operator=(SharedMemory&& other) noexcept {
        std::swap(start_, other.start_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~SharedMemory() {
        if (*this) munmap(start_, size_);
    }
    explicit operator bool() const { return start_ != MAP_FAILED; }
    [[nodiscard]] std::uint8_t* at(std::size_t offset) const {
        return static_cast<std::uint8_t*>(start_) + offset;
    }

private:
    void* start_ = MAP_FAILED;
    std::size_t size_ = 0;
};

/// Waits for BPF programs that run. The kernel does so when an element of a map of maps is replaced
/// (maybe_wait_bpf_programs() in kernel/bpf/syscall.c, since Linux 4.20), on all CPUs. membarrier()
/// fails if some CPUs have no tick (nohz_full).
class ProgramBarrier {
public:
    /// 0, or -errno.
    int make() {
        inner_ = FileDescriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY, "barrier", sizeof(std::uint32_t),
                                               sizeof(std::uint32_t), 1, nullptr));
        if (!inner_) return -errno;
        LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = std::uint32_t(inner_.number()));
        outer_ = FileDescriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "barrier_outer",
                                               sizeof(std::uint32_t), sizeof(std::uint32_t), 1,
                                               &options));
        return outer_ ? wait() : -errno;
    }
    /// When it returns, all programs that ran when it was called have finished. 0, or -errno.
    int wait() const {
        const std::uint32_t key = 0;
        const int inner = inner_.number();
        return bpf_map_update_elem(outer_.number(), &key, &inner, BPF_ANY);
    }

private:
    FileDescriptor inner_;
    FileDescriptor outer_;
};

}  // namespace exittop
