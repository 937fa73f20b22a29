#pragma once

/// The commands of the program.

#include <csignal>

namespace levda::experiments {

/// Set by SIGINT; long work looks at it.
extern volatile std::sig_atomic_t interrupted;

/// Does what the command line says; returns the exit code. Throws InputError, and Interrupted when told to stop.
int run_command_line(int argc, char** argv);

}  // namespace levda::experiments
