/// The program levda.

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "autodiff/error.h"
#include "experiments/commands.h"
#include "experiments/process.h"

namespace {

using levda::experiments::stop_signal;
using levda::experiments::tell;

int exit_code(int argc, char** argv) {
  try {
    levda::experiments::prepare_process();
    return levda::experiments::run_command_line(argc, argv);
  } catch (const levda::Interrupted& stop) {
    tell(stderr, "levda: {}\n", stop.what());
    return 0;  // as asked by --time-limit; main looks for a signal
  } catch (const levda::Error& error) {
    // A stop may be behind an error that is not of a file: Ctrl-C in a terminal also reaches gnuplot.
    const bool stopped = stop_signal() != 0 && dynamic_cast<const levda::InputError*>(&error) == nullptr;
    tell(stderr, "levda: {}{}\n", stopped ? "stopped; " : "", error.what());
    // At once: HDF5's exit handler crashes after a write that failed (a full disk). Our files were put away on the way
    // here.
    std::_Exit(stopped ? 128 + stop_signal() : 2);
  } catch (const std::exception& error) {
    tell(stderr, "levda: internal fault: {}\n", error.what());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int code = exit_code(argc, argv);
  const std::string failure = levda::experiments::print_failure();
  if (!failure.empty()) tell(stderr, "levda: the result could not be printed: {}\n", failure);
  if (code == 0 && stop_signal() != 0) return 128 + stop_signal();
  return code == 0 && !failure.empty() ? 1 : code;
}
