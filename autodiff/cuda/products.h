#pragma once

/// Matrix products by cuBLASLt.

#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>

#include "autodiff/cuda/kernels.h"

namespace levda::autodiff::gpu {

/// A row-major product as cuBLASLt plans it: y (rows, columns) = op(a) op(b), for `batch` matrices of each operand at
/// fixed distances. The alignment of the addresses is part of the key.
struct ProductKey {
  DType dtype = DType::float32;
  MatmulPrecision precision = MatmulPrecision::float32;  // for products of float32
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
  /// See Backend::matmul.
  void matmul(const Context& context, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
              const Tensor* bias, Tensor& y);

 private:
  struct Plan;
  /// Null if cuBLASLt has no algorithm.
  const Plan* plan(const ProductKey& key);
  /// False if cuBLASLt has no algorithm.
  bool run(const Context& context, const ProductKey& key, const void* a, const void* b, const void* bias, void* y);

  std::mutex mutex_;
  void* workspace_;
  std::size_t workspace_bytes_;
  MatmulPrecision precision_ = MatmulPrecision::float32;
  cublasLtHandle_t handle_ = nullptr;
  std::map<ProductKey, std::unique_ptr<Plan>> plans_;  // null: there is no algorithm
};

}  // namespace levda::autodiff::gpu
