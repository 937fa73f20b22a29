#include "nn/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace levda::nn {

namespace {

std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace

Progress::Progress(std::string what, std::int64_t total, std::FILE* out, std::int64_t start)
    : what_(std::move(what)),
      total_(total),
      out_(out),
      start_(start),
      terminal_(out != nullptr && isatty(fileno(out))) {}

Progress::~Progress() {
  if (open_line_) std::fputc('\n', out_);
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

void Progress::update(std::int64_t done, const std::string& details) {
  if (out_ == nullptr) return;
  const std::chrono::duration<double> interval(terminal_ ? 0.1 : 10);
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
  const std::string numbers =
      fmt::format("{}/{}  {:.3g}/s  {}{}{}", done, total_, rate, left, details.empty() ? "" : "  ", details);
  if (terminal_) {
    constexpr std::int64_t width = 24;
    const auto filled = static_cast<std::size_t>(total_ > 0 ? std::min(width, done * width / total_) : width);
    const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
    fmt::print(out_, "\r{} [{}] {}\033[K", what_, bar, numbers);
    open_line_ = done < total_;
    if (!open_line_) std::fputc('\n', out_);
  } else {
    fmt::print(out_, "{}: {}\n", what_, numbers);
  }
  std::fflush(out_);
}

}  // namespace levda::nn
