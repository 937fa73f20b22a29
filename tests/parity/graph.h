#pragma once

/// Cases of the comparison with PyTorch, and what levda answers to them. A case is a graph of operations in JSON:
///   inputs  [{"shape": [..], "constant": true, where it is no variable}, ..]
///   nodes   [{"op": "matmul", "in": [0, 2], "transpose_a": true}, ..]  inputs first, then nodes, in one count; the
///   last
///           is the result; attributes have the names of op.h's arguments
///   draws   [{"inputs": [[numbers of input 0], ..]}, ..]
///   cotangent (of the result), tangents (one per variable): directions of the derivatives
///   training  instead of the directions: the variables are moved by an optimiser so that the result falls

#include <nlohmann/json.hpp>

#include "autodiff/tensor.h"

namespace levda::testing {

/// Lists of numbers by name: "shape" and "value" of the result; with w the cotangent and v the tangents "vjp 0", ..
/// for J' w, "jvp" for J v, "hvp 0", .. for the Hessian of <w, result> times v. For a training "value" is the loss
/// before each step and "parameter 0", .. are the variables after the last.
/// Throws Error, or nlohmann's exceptions where the case is malformed.
nlohmann::json answer(const nlohmann::json& parity_case, const nlohmann::json& draw, autodiff::DType dtype);

}  // namespace levda::testing
