#pragma once

/// The commands of the program.

namespace levda::experiments {

/// Does what the command line says; returns the exit code. Throws InputError, and Interrupted when told to stop by a
/// signal or the time limit.
int run_command_line(int argc, char** argv);

}  // namespace levda::experiments
