#pragma once

/// A small chaotic system with an unknown parameter.

#include "da/step_model.h"
#include "models/lorenz.h"

namespace levda::testing {

constexpr std::int64_t places = 6;

/// Lorenz-96 on six places with its forcing as a parameter, one step of 0.05.
inline da::StepModel forced_lorenz() {
  using autodiff::Var;
  const models::Lorenz96 system(places);
  return {places + 1, 0.05, [system](const Var& v) {
            const Var forcing = slice(v, 1, places, 1);
            return autodiff::concat({system.step(slice(v, 1, 0, places), forcing, 0.05), forcing}, 1);
          }};
}

}  // namespace levda::testing
