#pragma once

/// Parts of sweeps that operations use which contain sweeps themselves.

#include "autodiff/derivatives.h"

namespace levda::autodiff {

/// sum + term, where an empty sum is zero; in place if nobody else holds the sum.
void accumulate(Var& sum, Var term);

/// Adds the cotangents of vjp to sums[k], which wrt[k] has received so far (empty: zero). No variable may be in wrt
/// twice. Nodes before `floor` that are not in wrt count as constants: a sweep over operations that were recorded from
/// there on need not search the tape before them.
void add_vjp(const Var& y, const Var& w, const Vars& wrt, Vars& sums, Graph graph, std::int64_t floor = 0);

/// jvp of one result, which may be a constant, with a floor as for add_vjp.
Var jvp_from(const Var& y, const Vars& wrt, const Vars& v, Graph graph, std::int64_t floor);

/// Throws NonFiniteError when the result of an operation is not finite. sweep: "vjp" or "jvp", or "" for the forward
/// computation. inputs: the values that the result was computed from; node: the operation's place on the tape.
void check_finite(const char* op, const char* sweep, std::int64_t node, Inputs inputs, const Tensor& result);

/// Throws Error that begins with "[op] what" unless a result has this shape, and the type and device of `like`. what:
/// for example "vjp{} returned", with " of input i" in the braces.
void check_result(const char* op, const char* what, const Var& result, const Shape& shape, const Var& like,
                  int input = -1);

/// The sum of the versions of all tensors of a node.
std::uint64_t versions_of(const Node& node);

/// Whether one of the values is on a tape.
bool any_tracked(Inputs values);

/// A list of values without repetitions. An operation that sweeps over its inputs must add up the cotangents of one
/// variable in one place.
struct Distinct {
  Vars values;
  std::vector<std::size_t> place;  // position of each value of the list among the distinct ones

  explicit Distinct(const Vars& list);
};

/// Derivative rules of an operation whose result other operations can compute too, as f(inputs): f runs again. If the
/// inputs are tracked, it runs on their tape, so that the sweep is recorded. The inputs are distinct. guard: see
/// Tape::guard.
void vjp_by_formula(const Function& f, const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums,
                    bool guard = false);
Var jvp_by_formula(const Function& f, const Call& n, const Vars& v, bool guard = false);

}  // namespace levda::autodiff
