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
inline const std::string tiny =
    " tsunami --set data.nodes=16 --set data.frames=12 --set data.steps_per_frame=4 --set data.train=8 --set "
    "data.valid=2"
    " --set data.test=3 --set surrogate.latent=3 --set surrogate.fourier_features=4 --set surrogate.dynamics_width=8"
    " --set surrogate.dynamics_depth=1 --set surrogate.decoder_width=8 --set surrogate.decoder_depth=2"
    " --set training.steps=40 --set training.trajectories=2 --set training.points=8 --set observations.truths=2"
    " --set observations.sensors=grid:4x4 --set assimilation.members=6 --set assimilation.frames=6"
    " --set assimilation.window=6 --set assimilation.shift=6 --set assimilation.start_min=1"
    " --set assimilation.start_max=4 ";

}  // namespace levda::testing
