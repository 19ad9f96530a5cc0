// SPDX-License-Identifier: GPL-2.0-only
#include "live/terminal.h"

#include <langinfo.h>
#include <ncurses.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "output/split_bar.h"

#undef lines  // ncurses.h has short macros

namespace exittop {
namespace {

/// How long ncurses waits for the rest of a key's sequence after Esc.
constexpr int escape_delay_ms = 25;
constexpr int control_l = 12;

/// A role's appearance on this terminal; only attributes if it has no colours.
struct Look {
    Role role;
    attr_t plain;
    attr_t colored;
    short color_256;
    short color_8;
};

constexpr std::array looks = {
    Look{Role::normal, A_NORMAL, A_NORMAL, -1, -1},
    Look{Role::strong, A_BOLD, A_BOLD, -1, -1},
    Look{Role::dim, A_DIM, A_NORMAL, 245, -1},
    Look{Role::heading, A_UNDERLINE, A_UNDERLINE, 110, COLOR_CYAN},
    Look{Role::selected, A_REVERSE, A_REVERSE, -1, -1},
    Look{Role::trail, A_NORMAL, A_NORMAL, 73, COLOR_CYAN},
    Look{Role::key, A_BOLD, A_BOLD, 110, COLOR_CYAN},
    Look{Role::notice, A_BOLD, A_BOLD, 179, COLOR_YELLOW},
    Look{Role::alarm, A_REVERSE | A_BOLD, A_REVERSE | A_BOLD, 196, COLOR_RED},
    Look{Role::bar, A_NORMAL, A_NORMAL, -1, -1},
    Look{Role::selected_bar, A_REVERSE, A_REVERSE, -1, -1},
};

// Pairs of colours: those of the looks, and after them those of the letters in bars.
short pair_of(std::size_t look) { return static_cast<short>(look + 1); }
short pair_of_letter(std::size_t paint) { return pair_of(looks.size() + paint); }

KeyCode code_of(int key) {
    switch (key) {
        case KEY_UP: return KeyCode::up;
        case KEY_DOWN: return KeyCode::down;
        case KEY_PPAGE: return KeyCode::page_up;
        case KEY_NPAGE: return KeyCode::page_down;
        case KEY_HOME: return KeyCode::home;
        case KEY_END: return KeyCode::end;
        case KEY_ENTER: return KeyCode::enter;
        case KEY_BACKSPACE: return KeyCode::backspace;
        case KEY_F(1): return KeyCode::help;
        case KEY_F(3):
        case KEY_F(4): return KeyCode::filter;
        case KEY_F(6): return KeyCode::sort;
        case KEY_F(10): return KeyCode::quit;
        default: return KeyCode::character;
    }
}

std::optional<Event> read_mouse() {
    MEVENT event{};
    if (getmouse(&event) != OK) return std::nullopt;
    const auto row = static_cast<std::size_t>(event.y);
    if (event.bstate & BUTTON4_PRESSED) return Mouse{MouseKind::wheel_up, row};
    if (event.bstate & BUTTON5_PRESSED) return Mouse{MouseKind::wheel_down, row};
    return Mouse{MouseKind::click, row};
}

Key character_key(wint_t character) {
    switch (character) {
        case L'\r':
        case L'\n': return {KeyCode::enter, 0};
        case L'\t': return {KeyCode::tab, 0};
        case 27: return {KeyCode::escape, 0};
        case 8:
        case 127: return {KeyCode::backspace, 0};
        default: return {KeyCode::character, static_cast<char32_t>(character)};
    }
}

}  // namespace

struct Terminal::Screen {
    SCREEN* screen = nullptr;
    Glyphs glyphs = Glyphs::ascii;
    bool colored = false;

    ~Screen() {
        if (screen == nullptr) return;
        endwin();
        delscreen(screen);
    }
    void choose_colors();
    [[nodiscard]] attr_t attributes(std::size_t look) const;
    [[nodiscard]] attr_t attributes(std::size_t look, char letter) const;
    void show(const Span& span) const;
};

void Terminal::Screen::choose_colors() {
    if (start_color() == ERR || !has_colors()) return;
    use_default_colors();
    colored = true;
    for (std::size_t i = 0; i < looks.size(); ++i) {
        init_pair(pair_of(i), COLORS >= 256 ? looks[i].color_256 : looks[i].color_8, -1);
    }
    const auto paints = bar_paints();
    for (std::size_t i = 0; i < paints.size(); ++i) {
        const auto& [letter, text, background, text_8, background_8] = paints[i];
        const bool all = COLORS >= 256;
        init_pair(pair_of_letter(i), all ? text : text_8, all ? background : background_8);
    }
}

attr_t Terminal::Screen::attributes(std::size_t look) const {
    if (!colored) return looks[look].plain;
    return looks[look].colored | static_cast<attr_t>(COLOR_PAIR(pair_of(look)));
}

// Of a letter in a bar, which keeps its colour in the selected row.
attr_t Terminal::Screen::attributes(std::size_t look, char letter) const {
    const auto paints = bar_paints();
    const auto paint = std::ranges::find(paints, letter, &BarPaint::letter);
    if (!colored || paint == paints.end()) return attributes(look);
    const short pair = pair_of_letter(static_cast<std::size_t>(paint - paints.begin()));
    return static_cast<attr_t>(COLOR_PAIR(pair));
}

void Terminal::Screen::show(const Span& span) const {
    const auto look = static_cast<std::size_t>(span.role);
    if (span.role != Role::bar && span.role != Role::selected_bar) {
        attrset(static_cast<int>(attributes(look)));
        addstr(span.text.c_str());
        return;
    }
    for (const char letter : span.text) {
        attrset(static_cast<int>(attributes(look, letter)));
        addch(static_cast<chtype>(static_cast<unsigned char>(letter)));
    }
}

std::expected<Terminal, Error> Terminal::open(const TerminalStyle& style) {
    std::setlocale(LC_CTYPE, "");
    const bool utf8 = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    auto made = std::make_unique<Screen>();
    made->glyphs = utf8 && !style.ascii ? Glyphs::utf8 : Glyphs::ascii;
    made->screen = newterm(nullptr, stdout, stdin);
    if (made->screen == nullptr) {
        const char* term = std::getenv("TERM");
        return lacking("the terminal '{}' is not known here: set TERM, or use --batch",
                       term ? term : "");
    }
    set_escdelay(escape_delay_ms);
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    leaveok(stdscr, TRUE);
    // Presses are enough; waiting for clicks would delay each by a sixth of a second.
    mousemask(BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED, nullptr);
    mouseinterval(0);
    if (style.color == Color::on) made->choose_colors();
    return Terminal(std::move(made));
}

Terminal::Terminal(std::unique_ptr<Screen> screen) : screen_(std::move(screen)) {}
Terminal::Terminal(Terminal&&) noexcept = default;
Terminal& Terminal::operator=(Terminal&&) noexcept = default;
Terminal::~Terminal() = default;

Glyphs Terminal::glyphs() const { return screen_->glyphs; }

Resize Terminal::size() const {
    return {static_cast<std::size_t>(LINES), static_cast<std::size_t>(COLS)};
}

void Terminal::show(const std::vector<Line>& drawn) {
    erase();
    for (std::size_t row = 0; row < drawn.size(); ++row) {
        ::move(static_cast<int>(row), 0);
        for (const Span& span : drawn[row]) screen_->show(span);
    }
    attrset(A_NORMAL);
    refresh();
}

std::optional<Event> Terminal::next() {
    wint_t character = 0;
    const int result = get_wch(&character);
    if (result == ERR) return std::nullopt;
    if (result != KEY_CODE_YES) {
        if (character == control_l) clearok(curscr, TRUE);
        return character_key(character);
    }
    const int key = static_cast<int>(character);
    if (key == KEY_RESIZE) return size();
    if (key == KEY_MOUSE) return read_mouse();
    return Key{code_of(key), 0};
}

}  // namespace exittop
