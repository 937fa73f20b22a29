#pragma once

/// Progress of long work: a bar on a terminal, else a line every ten seconds.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace levda::nn {

/// A line of progress. Not thread-safe: parallel callers must hold a lock.
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

  using Clock = std::chrono::steady_clock;
  std::string what_;
  std::int64_t total_;
  std::FILE* out_;
  std::int64_t start_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point shown_;
  bool open_line_ = false;
};

}  // namespace levda::nn
