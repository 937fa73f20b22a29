#include "autodiff/cuda/products.h"

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/cuda/check.h"
#include "autodiff/error.h"
#include "autodiff/internal/walk.h"

namespace levda::autodiff::gpu {

namespace {

constexpr const char* operation = "matmul";

cudaDataType_t data_type(DType dtype) { return dtype == DType::float32 ? CUDA_R_32F : CUDA_R_64F; }

cublasComputeType_t compute_type(const ProductKey& key) {
  if (key.dtype == DType::float64) return CUBLAS_COMPUTE_64F;
  switch (key.precision) {
    case MatmulPrecision::float32: return CUBLAS_COMPUTE_32F;
    case MatmulPrecision::tf32: return CUBLAS_COMPUTE_32F_FAST_TF32;
    case MatmulPrecision::bf16: return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F;
}

/// A matrix as cuBLASLt describes it: column-major, batched.
cublasLtMatrixLayout_t layout(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t batch,
                              std::int64_t stride) {
  cublasLtMatrixLayout_t result = nullptr;
  check(operation, cublasLtMatrixLayoutCreate(&result, data_type(dtype), static_cast<std::uint64_t>(rows),
                                              static_cast<std::uint64_t>(columns), rows));
  const auto count = static_cast<std::int32_t>(batch);
  check(operation, cublasLtMatrixLayoutSetAttribute(result, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)));
  check(operation,
        cublasLtMatrixLayoutSetAttribute(result, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)));
  return result;
}

}  // namespace

std::uint32_t alignment_of(const void* address) {
  std::uint32_t alignment = 256;
  while (reinterpret_cast<std::uintptr_t>(address) % alignment != 0) alignment /= 2;
  return alignment;
}

/// A row-major matrix is the transpose of a column-major one: y' = op(b)' op(a)'. Therefore b comes first.
struct Products::Plan {
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatrixLayout_t b = nullptr;
  cublasLtMatrixLayout_t a = nullptr;
  cublasLtMatrixLayout_t y = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;

  Plan(cublasLtHandle_t handle, const ProductKey& key, std::size_t workspace) {
    check(operation, cublasLtMatmulDescCreate(&description, compute_type(key), data_type(key.dtype)));
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
      check(operation, cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof(value)));
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (key.bias) set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    b = key.transpose_b ? layout(key.dtype, key.inner, key.columns, key.batch, key.stride_b)
                        : layout(key.dtype, key.columns, key.inner, key.batch, key.stride_b);
    a = key.transpose_a ? layout(key.dtype, key.rows, key.inner, key.batch, key.stride_a)
                        : layout(key.dtype, key.inner, key.rows, key.batch, key.stride_a);
    y = layout(key.dtype, key.columns, key.rows, key.batch, key.stride_y);

    cublasLtMatmulPreference_t preference = nullptr;
    check(operation, cublasLtMatmulPreferenceCreate(&preference));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(operation, cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignment_b);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignment_a);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignment_y);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignment_y);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, description, b, a, y, y, preference, 1, &best, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    found = status == CUBLAS_STATUS_SUCCESS && count > 0 && best.state == CUBLAS_STATUS_SUCCESS;
    algorithm = best.algo;
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    cublasLtMatrixLayoutDestroy(y);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatmulDescDestroy(description);
  }
};

Products::Products(void* workspace, std::size_t bytes) : workspace_(workspace), workspace_bytes_(bytes) {
  check(operation, cublasLtCreate(&handle_));
}

Products::~Products() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

void Products::set_precision(MatmulPrecision precision) {
  const std::scoped_lock lock(mutex_);
  precision_ = precision;
}

const Products::Plan* Products::plan(const ProductKey& key) {
  std::unique_ptr<Plan>& plan = plans_[key];
  if (!plan) plan = std::make_unique<Plan>(handle_, key, workspace_bytes_);
  return plan->found ? plan.get() : nullptr;
}

bool Products::run(const Context& context, const ProductKey& key, const void* a, const void* b, const void* bias,
                   void* y) {
  const Plan* const p = plan(key);
  if (p == nullptr) return false;
  if (key.bias)
    check(operation,
          cublasLtMatmulDescSetAttribute(p->description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)));
  const auto multiply = [&]<typename T>(T one) {
    const T zero = 0;
    check(operation, cublasLtMatmul(handle_, p->description, &one, b, p->b, a, p->a, &zero, y, p->y, y, p->y,
                                    &p->algorithm, workspace_, workspace_bytes_, context.stream));
  };
  key.dtype == DType::float32 ? multiply(1.0F) : multiply(1.0);
  return true;
}

void Products::matmul(const Context& context, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      const Tensor* bias, Tensor& y) {
  if (y.size() == 0) return;
  const Shape& sa = a.shape();
  const Shape& sb = b.shape();
  ProductKey key{.dtype = y.dtype(), .transpose_a = transpose_a, .transpose_b = transpose_b};
  key.inner = transpose_a ? sa[-2] : sa[-1];
  key.columns = y.shape()[-1];
  const auto add_bias = [&] { binary(context, Binary::add, y, *bias, y); };
  if (key.inner == 0) {
    fill(context, y, 0);
    if (bias != nullptr) add_bias();
    return;
  }
  // If b has no leading axes, those of a count as rows.
  const bool flat = sb.rank() == 2 && !transpose_a;
  key.rows = flat ? y.size() / key.columns : y.shape()[-2];
  const std::scoped_lock lock(mutex_);
  key.precision = precision_;
  const auto multiply = [&]<typename T>(T) {
    const std::int64_t size_a = key.rows * key.inner;
    const std::int64_t size_b = key.inner * key.columns;
    const std::int64_t size_y = key.rows * key.columns;
    const auto one = [&](std::int64_t ia, std::int64_t ib, std::int64_t iy) {
      const T* pa = a.data<T>() + ia * size_a;
      const T* pb = b.data<T>() + ib * size_b;
      T* py = y.data<T>() + iy * size_y;
      // For all matrices of a batch.
      const auto aligned = [](const T* first, std::int64_t stride) {
        return std::min(alignment_of(first), alignment_of(first + stride));
      };
      key.alignment_a = aligned(pa, key.stride_a);
      key.alignment_b = aligned(pb, key.stride_b);
      key.alignment_y = aligned(py, key.stride_y);
      const bool fused = key.bias && run(context, key, pa, pb, bias->data<T>(), py);
      ProductKey plain = key;
      plain.bias = false;
      if (!fused && !run(context, plain, pa, pb, nullptr, py))
        throw Error(fmt::format("[matmul] cuBLAS has no algorithm for {} times {}", sa.text(), sb.text()));
      return fused || bias == nullptr;
    };
    if (flat) {
      key.bias = bias != nullptr;
      return one(0, 0, 0);
    }
    const Walk<3> walk = matrix_walk(sa, sb, y.shape());
    key.batch = walk.inner();
    key.stride_a = walk.inner_stride(0) * size_a;
    key.stride_b = walk.inner_stride(1) * size_b;
    key.stride_y = walk.inner_stride(2) * size_y;
    walk.for_each_row([&](const auto& at) { one(at[0], at[1], at[2]); });
    return bias == nullptr;
  };
  const bool done = y.dtype() == DType::float32 ? multiply(float{}) : multiply(double{});
  if (!done) add_bias();
}

}  // namespace levda::autodiff::gpu
