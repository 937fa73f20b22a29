#pragma once

/// Matrix products by cuBLASLt. Not for users.

#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>

#include "autodiff/cuda/kernels.h"

namespace levda::autodiff::gpu {

/// A product as cuBLASLt plans it, row-major: y (rows, columns) = op(a) op(b), `batch` times over with some elements
/// between the matrices of each operand. What cuBLASLt may assume of addresses is part of it.
struct ProductKey {
  DType dtype = DType::float32;
  MatmulPrecision precision = MatmulPrecision::float32;  // of float32 products
  bool transpose_a = false;
  bool transpose_b = false;
  bool bias = false;
  std::int64_t rows = 0;
  std::int64_t inner = 0;
  std::int64_t columns = 0;
  std::int64_t batch = 1;
  std::int64_t stride_a = 0;
  std::int64_t stride_b = 0;
  std::int64_t stride_y = 0;
  std::uint32_t alignment_a = 256;
  std::uint32_t alignment_b = 256;
  std::uint32_t alignment_y = 256;

  friend auto operator<=>(const ProductKey&, const ProductKey&) = default;
};

/// The largest power of two that divides an address, at most 256.
std::uint32_t alignment_of(const void* address);

class Products {
 public:
  /// workspace: device memory for cuBLASLt.
  Products(void* workspace, std::size_t bytes);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  void set_precision(MatmulPrecision precision);
  /// As Backend::matmul.
  void matmul(const Context& context, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
              const Tensor* bias, Tensor& y);

 private:
  struct Plan;
  /// Null where cuBLASLt has no algorithm.
  const Plan* plan(const ProductKey& key);
  /// False where cuBLASLt has no algorithm.
  bool run(const Context& context, const ProductKey& key, const void* a, const void* b, const void* bias, void* y);

  std::mutex mutex_;
  void* workspace_;
  std::size_t workspace_bytes_;
  MatmulPrecision precision_ = MatmulPrecision::float32;
  cublasLtHandle_t handle_ = nullptr;
  std::map<ProductKey, std::unique_ptr<Plan>> plans_;  // an empty one: no algorithm
};

}  // namespace levda::autodiff::gpu
