#pragma once

/// What operations that contain sweeps of their own need of them.

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

/// A list of values with each variable, and each whole tensor, once: in the inputs of an operation that sweeps over
/// them the cotangents of one variable must add up in one place.
struct Distinct {
  Vars values;
  std::vector<std::size_t> place;  // of each value of the list among the distinct ones

  explicit Distinct(const Vars& list);
};

/// Derivative rules of an operation whose result is also f(inputs), in other operations: f runs again, on the tape of
/// the inputs where they are tracked, so that the sweep is recorded. The inputs are distinct. guard: see Tape::guard.
void vjp_by_formula(const Function& f, const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums,
                    bool guard = false);
Var jvp_by_formula(const Function& f, const Call& n, const Vars& v, bool guard = false);

}  // namespace levda::autodiff
