/// The program levda.

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "autodiff/error.h"
#include "experiments/commands.h"

int main(int argc, char** argv) {
  using namespace levda::experiments;
  try {
    return run_command_line(argc, argv);
  } catch (const levda::Interrupted& stop) {
    fmt::print(stderr, "levda: {}\n", stop.what());
    return interrupted != 0 ? 130 : 0;  // by the user, or by the clock as asked
  } catch (const levda::Error& error) {
    fmt::print(stderr, "levda: {}\n", error.what());
    // At once: HDF5's exit handler crashes after a write that failed (a full disk). Our files were put away on the way
    // here.
    std::fflush(nullptr);
    std::_Exit(2);
  } catch (const std::exception& error) {
    fmt::print(stderr, "levda: internal fault: {}\n", error.what());
    return 1;
  }
}
