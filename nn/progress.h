#pragma once

/// Progress of long work: a bar on a terminal, else a line every ten seconds and, later, ever more rarely.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace levda::nn {

/// Writes text and flushes. A text that cannot be written (a full disk, a closed pipe) is dropped: work goes on without
/// its log. out may be null.
void write_note(std::FILE* out, std::string_view text);

/// A line of progress, without colours or escape codes. It fits into the terminal's width. Not thread-safe: parallel
/// callers must hold a lock.
class Progress {
 public:
  /// start: work done by an earlier run, which does not count for the rate. out: null for no output.
  Progress(std::string what, std::int64_t total, std::FILE* out = stderr, std::int64_t start = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows that `done` of the total is done. The details (loss, error) follow the rate and the time left.
  void update(std::int64_t done, const std::string& details = "");
  /// Seconds since construction.
  double seconds() const;

 private:
  void show(std::int64_t done, const std::string& details);
  void show_on_terminal(const std::string& bar, const std::string& numbers, const std::string& details);

  using Clock = std::chrono::steady_clock;
  std::string what_;
  std::int64_t total_;
  std::FILE* out_;
  std::int64_t start_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point shown_;
  bool open_line_ = false;
  std::size_t length_ = 0;  // of the open line, in columns
};

}  // namespace levda::nn
