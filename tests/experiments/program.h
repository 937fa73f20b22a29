#pragma once

/// Runs the program as a user does.

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

namespace levda::testing {

struct Outcome {
  int code = -1;       ///< exit code; -1 when a signal ended it
  std::string output;  ///< stdout and stderr
};

/// A command as a shell sees it.
inline Outcome run(const std::string& command) {
  Outcome outcome;
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), count);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

inline Outcome run_levda(const std::string& arguments) { return run(fmt::format("{} {}", LEVDA_PROGRAM, arguments)); }

/// A tsunami of 16 x 16 nodes with networks that train in a second: for what a program does, not how well.
inline const std::string tiny_settings = " --config " LEVDA_TINY " ";
inline const std::string tiny = " tsunami" + tiny_settings;

}  // namespace levda::testing
