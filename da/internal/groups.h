#pragma once

/// Functions of rows or points, applied along leading axes. Not installed.

#include <oneapi/tbb/parallel_for.h>

#include <span>

#include "autodiff/internal/isolation.h"
#include "da/forward_model.h"

namespace levda::da {

/// The part of outermost index k.
inline autodiff::Tensor part(const autodiff::Tensor& x, std::size_t k) {
  const auto i = static_cast<std::int64_t>(k);
  return x.rows(i, i + 1).reshaped(x.shape().part(1, x.shape().rank()));
}

/// f(0) .. f(count - 1), each as a task.
template <typename F>
void in_parallel(std::size_t count, const F& f) {
  autodiff::Isolation::run_loop(
      [&] { oneapi::tbb::parallel_for(std::size_t{0}, count, f, oneapi::tbb::simple_partitioner()); });
}

/// x (.., kept axes) -> (leading, kept axes), the axes before the last `kept` as one.
inline autodiff::Tensor flattened(const autodiff::Tensor& x, int kept) {
  const autodiff::Shape& shape = x.shape();
  const int leading = shape.rank() - kept;
  return x.reshaped(shape.part(leading, shape.rank()).prepend({shape.size(0, leading)}));
}

/// The axes of x before the last `dropped`, then `inner`.
inline autodiff::Shape leading(const autodiff::Tensor& x, int dropped, const autodiff::Shape& inner) {
  return inner.prepend(x.shape().part(0, x.shape().rank() - dropped));
}

/// f(group (rows, n)) of each group of v (.., rows, n), in parallel: (.., rows, k).
template <typename F>
autodiff::Tensor by_groups(const autodiff::Tensor& v, const F& f) {
  if (v.shape().rank() == 2) return f(v);
  const autodiff::Tensor groups = flattened(v, 2);
  autodiff::Vars results(static_cast<std::size_t>(groups.shape()[0]));
  in_parallel(results.size(), [&](std::size_t k) { results[k] = f(part(groups, k)); });
  const autodiff::Tensor all = stack(results, 0).value();
  return all.reshaped(leading(v, 1, {all.shape()[-1]}));
}

/// f(v (n), directions (k, n)) of each point of v (.., n), directions (.., k, n), in parallel: value (.., m), tangents
/// (.., k, m).
template <typename F>
Linearisation by_points(const autodiff::Tensor& v, const autodiff::Tensor& directions, const F& f) {
  if (v.shape().rank() == 1) return f(v, directions);
  const autodiff::Tensor points = flattened(v, 1);
  const autodiff::Tensor along = flattened(directions, 2);
  autodiff::Vars values(static_cast<std::size_t>(points.shape()[0]));
  autodiff::Vars tangents(values.size());
  in_parallel(values.size(), [&](std::size_t k) {
    const Linearisation one = f(part(points, k), part(along, k));
    values[k] = one.value;
    tangents[k] = one.tangents;
  });
  const std::int64_t m = values.front().shape()[-1];
  return {stack(values, 0).value().reshaped(leading(v, 1, {m})),
          stack(tangents, 0).value().reshaped(leading(directions, 1, {m}))};
}

}  // namespace levda::da
