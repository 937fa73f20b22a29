#pragma once

/// cuBLAS by itself, to measure Backend::matmul by.

#include <cstdint>
#include <optional>

namespace levda::bench {

/// y (rows, columns) = op(a) op(b), row-major, float32.
struct Product {
  std::int64_t rows;
  std::int64_t inner;
  std::int64_t columns;
  bool transpose_a;
  bool transpose_b;
};

/// Seconds of one cublasGemmEx: the median over `samples` of `repeats` in a row, between device events; nothing where
/// this build is without cuBLAS. Throws Error when cuBLAS refuses.
std::optional<double> cublas_seconds(const Product& product, bool tf32, int samples, int repeats);

}  // namespace levda::bench
