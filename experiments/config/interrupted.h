#pragma once

#include "autodiff/error.h"

namespace levda::experiments {

/// Asked to leave, by the user or by the clock: what was finished is on the disk, and the same command goes on from
/// there.
class Interrupted : public Error {
 public:
  using Error::Error;
};

}  // namespace levda::experiments
