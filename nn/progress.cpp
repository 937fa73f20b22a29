#include "nn/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace levda::nn {

void write_note(std::FILE* out, std::string_view text) {
  if (out == nullptr) return;
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

namespace {

std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }  // in UTF-8

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

/// The text on one line of at most `width` columns.
std::string fitted(std::string text, std::size_t width) {
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (starts_character(text[i]) && column++ == width) {
      text.resize(i);
      break;
    }
    if (static_cast<unsigned char>(text[i]) < ' ' || text[i] == 0x7f) text[i] = ' ';
  }
  return text;
}

/// Columns that a line may fill: all but the last, after which some terminals wrap.
std::size_t width_of(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 79;
  return size.ws_col - 1U;
}

/// A terminal on which a carriage return works.
bool is_terminal(std::FILE* out) {
  if (out == nullptr || isatty(fileno(out)) == 0) return false;
  const char* kind = std::getenv("TERM");
  return kind == nullptr || std::strcmp(kind, "dumb") != 0;
}

}  // namespace

Progress::Progress(std::string what, std::int64_t total, std::FILE* out, std::int64_t start)
    : what_(std::move(what)), total_(total), out_(out), start_(start), terminal_(is_terminal(out)) {}

Progress::~Progress() {
  if (open_line_) write_note(out_, "\n");
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

void Progress::update(std::int64_t done, const std::string& details) {
  if (out_ == nullptr) return;
  // A log of a long run stays short.
  const std::chrono::duration<double> interval(terminal_ ? 0.1 : std::clamp(seconds() / 10, 10.0, 300.0));
  if (done < total_ && Clock::now() - shown_ < interval) return;
  shown_ = Clock::now();
  show(done, details);
}

void Progress::show(std::int64_t done, const std::string& details) {
  const double elapsed = seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done - start_) / elapsed : 0;
  const std::string left = done >= total_ ? duration(elapsed)
                           : rate > 0     ? "ETA " + duration(static_cast<double>(total_ - done) / rate)
                                          : "ETA ?";
  const std::string numbers = fmt::format("{}/{}  {:.3g}/s  {}", done, total_, rate, left);
  const std::string more = details.empty() ? "" : "  " + details;
  if (terminal_) {
    constexpr std::int64_t width = 24;
    const auto filled =
        static_cast<std::size_t>(total_ > 0 ? std::clamp<std::int64_t>(done * width / total_, 0, width) : width);
    open_line_ = done < total_;
    show_on_terminal(std::string(filled, '#') + std::string(width - filled, '.'), numbers, more);
  } else {
    write_note(out_, fitted(fmt::format("{}: {}{}", what_, numbers, more), std::string::npos) + "\n");
  }
}

void Progress::show_on_terminal(const std::string& bar, const std::string& numbers, const std::string& details) {
  const std::size_t width = width_of(out_);
  std::string line = fmt::format("{} [{}] {}{}", what_, bar, numbers, details);
  if (columns(line) > width) line = fmt::format("{} {}{}", what_, numbers, details);
  line = fitted(line, width);
  const std::size_t before = std::exchange(length_, open_line_ ? columns(line) : 0);
  // Blanks cover what a longer line has left behind.
  const std::size_t blanks = std::min(before, width) > columns(line) ? std::min(before, width) - columns(line) : 0;
  write_note(out_, "\r" + line + std::string(blanks, ' ') + (open_line_ ? "" : "\n"));
}

}  // namespace levda::nn
