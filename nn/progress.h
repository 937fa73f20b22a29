#pragma once

/// One line about long work: a bar on a terminal, a plain line every few seconds elsewhere.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace levda::nn {

/// Not thread-safe: callers in parallel work hold a lock.
class Progress {
 public:
  /// `start`: work done before (a resumed run), left out of the rate. out may be null: silent.
  Progress(std::string what, std::int64_t total, std::FILE* out = stderr, std::int64_t start = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of the total; `details` (loss, error) are shown behind rate and time left.
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
