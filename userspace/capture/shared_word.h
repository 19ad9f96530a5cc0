// SPDX-License-Identifier: GPL-2.0-only
// Reads memory that a BPF program may be writing.
#pragma once

#include <atomic>

namespace exittop {

/// A word that the BPF program may be writing: read once, whole.
template <typename Word>
Word load(const Word& word) {
    return std::atomic_ref<Word>(const_cast<Word&>(word)).load(std::memory_order_acquire);
}

}  // namespace exittop
