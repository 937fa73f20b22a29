#pragma once

/// Trajectories of latent dynamics s_{k+1} = s_k + dt F(u_k, s_k), where F is a network of [u, s]:
/// u_k (rows, p), one per step, s0 (rows, d) -> s_1, s_2, .. (steps, rows, d). w: the list that F's weights are in.

#include "nn/layers.h"

namespace levda::models {

/// Step by step, in about 4 L operations per step for L hidden layers, of any kind. Throws Error when there are no
/// steps.
autodiff::Var rollout_by_steps(const nn::Mlp& f, autodiff::Inputs w, const autodiff::Vars& u, const autodiff::Var& s0,
                               double dt);

/// That trajectory by one operation, for a device that is slow to start each product. States have the same bits
/// where the bits of a product do not depend on the address of its result (on the CPU: from rows + inputs + outputs =
/// 20 on). The reverse sweep keeps the cotangents of all layers' sums, and makes the gradient of each weight in one
/// product over all steps and rows: a sum in another order.
///
/// On a tape it holds, per step and row, the input of every layer and the slope of every hidden one:
/// p + d + 2 L width numbers, which Tape::bytes counts; nothing where no input is tracked. A reverse sweep needs
/// d + L width more while it lasts. Tangents, and sweeps that are recorded, run rollout_by_steps; so does
/// everything under the guard of a tape, which names the operation that fails, and with layers in blocks
/// (residual_relu). Errors as for rollout_by_steps.
autodiff::Var rollout(const nn::Mlp& f, autodiff::Inputs w, const autodiff::Vars& u, const autodiff::Var& s0,
                      double dt);

}  // namespace levda::models
