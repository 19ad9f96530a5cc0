// SPDX-License-Identifier: GPL-2.0-only
// The terminal: draws lines, reads keys and mouse, and restores the terminal at the end. The only
// user of ncurses.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "live/live_view.h"

namespace exittop {

struct TerminalStyle {
    bool ascii = false;       ///< Even where the locale has more.
    Color color = Color::on;  ///< Off: bold and reverse alone.
};

/// Owns the screen while it lives.
class Terminal {
public:
    static std::expected<Terminal, Error> open(const TerminalStyle& style);
    Terminal(Terminal&&) noexcept;
    Terminal& operator=(Terminal&&) noexcept;
    ~Terminal();

    /// What this terminal can show: UTF-8 if the locale has it.
    [[nodiscard]] Glyphs glyphs() const;
    [[nodiscard]] Resize size() const;
    /// Only what changed is written.
    void show(const std::vector<Line>& lines);
    /// The next key, click or change of size; empty if there is none.
    std::optional<Event> next();

private:
    struct Screen;
    explicit Terminal(std::unique_ptr<Screen> screen);
    std::unique_ptr<Screen> screen_;
};

}  // namespace exittop
