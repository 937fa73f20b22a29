#pragma once

/// What operations that contain sweeps of their own need of them; not for users.

#include "autodiff/derivatives.h"

namespace levda::autodiff {

/// sum + term, where an empty sum is zero; in place where nobody else holds the sum.
void accumulate(Var& sum, Var term);

/// vjp that goes on from sums[k], what wrt[k] has received so far (empty: nothing), and leaves the result there. No
/// variable may be in wrt twice.
void add_vjp(const Var& y, const Var& w, const Vars& wrt, Vars& sums, Graph graph);

/// Throws NonFiniteError when the result of an operation, or of its part in a sweep ("vjp", "jvp"; "" forward), is not
/// finite. inputs: what it was made from.
void check_finite(const char* op, const char* sweep, Inputs inputs, const Tensor& result);

/// Whether one of the values is on a tape.
bool any_tracked(Inputs values);

}  // namespace levda::autodiff
