#include <cublasLt.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "autodiff/error.h"
#include "sample.h"
#include "stand_in.h"

using levda::cuda_on_cpu::counts;
using sample::Buffer;

namespace {

template <typename T>
struct Array {
  explicit Array(std::size_t n) : size(n) { REQUIRE(cudaMalloc(&data, n * sizeof(T)) == cudaSuccess); }
  explicit Array(const std::vector<T>& host) : Array(host.size()) {
    REQUIRE(cudaMemcpy(data, host.data(), size * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  ~Array() { CHECK(cudaFree(data) == cudaSuccess); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  std::vector<T> download() const {
    std::vector<T> host(size);
    CHECK(cudaMemcpy(host.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return host;
  }
  T* data = nullptr;
  std::size_t size;
};

struct Matrix {
  std::uint64_t rows, cols;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  std::int64_t pad = 0;  // of the leading dimension
  std::int32_t batches = 1;

  std::int64_t ld() const { return static_cast<std::int64_t>(order == CUBLASLT_ORDER_COL ? rows : cols) + pad; }
  std::int64_t stride() const {
    return ld() * static_cast<std::int64_t>(order == CUBLASLT_ORDER_COL ? cols : rows) + 3 * (batches - 1);
  }
  std::size_t elements() const { return static_cast<std::size_t>(stride() * batches); }
  std::size_t at(std::int32_t batch, std::uint64_t i, std::uint64_t j) const {
    return static_cast<std::size_t>(batch * stride() + static_cast<std::int64_t>(order == CUBLASLT_ORDER_COL ? i : j) +
                                    ld() * static_cast<std::int64_t>(order == CUBLASLT_ORDER_COL ? j : i));
  }
};

/// All that a product needs; every part can be changed before it is run.
template <typename T>
struct Product {
  static constexpr cudaDataType type = sizeof(T) == 8 ? CUDA_R_64F : CUDA_R_32F;

  Product(const Matrix& a, const Matrix& b, const Matrix& d,
          cublasComputeType_t compute = sizeof(T) == 8 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F)
      : a_layout(layout(a)), b_layout(layout(b)), c_layout(layout(d)), d_layout(layout(d)) {
    REQUIRE(cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulDescCreate(&description, compute, type) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS);
  }
  ~Product() {
    CHECK(cublasLtMatmulPreferenceDestroy(preference) == CUBLAS_STATUS_SUCCESS);
    for (const cublasLtMatrixLayout_t l : {a_layout, b_layout, c_layout, d_layout})
      CHECK(cublasLtMatrixLayoutDestroy(l) == CUBLAS_STATUS_SUCCESS);
    CHECK(cublasLtMatmulDescDestroy(description) == CUBLAS_STATUS_SUCCESS);
    CHECK(cublasLtDestroy(handle) == CUBLAS_STATUS_SUCCESS);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  static cublasLtMatrixLayout_t layout(const Matrix& m) {
    cublasLtMatrixLayout_t result = nullptr;
    REQUIRE(cublasLtMatrixLayoutCreate(&result, type, m.rows, m.cols, m.ld()) == CUBLAS_STATUS_SUCCESS);
    set(result, CUBLASLT_MATRIX_LAYOUT_ORDER, static_cast<std::int32_t>(m.order));
    set(result, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, m.batches);
    set(result, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, m.stride());
    return result;
  }
  template <typename V>
  static void set(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t attribute, V value) {
    CHECK(cublasLtMatrixLayoutSetAttribute(l, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS);
  }
  template <typename V>
  void set(cublasLtMatmulDescAttributes_t attribute, V value) const {
    CHECK(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS);
  }
  template <typename V>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, V value) const {
    CHECK(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS);
  }
  void add_bias(const T* bias) const {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }

  cublasStatus_t find() {
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, description, a_layout, b_layout, c_layout,
                                                                 d_layout, preference, 1, &found, &count);
    CHECK(count == (status == CUBLAS_STATUS_SUCCESS ? 1 : 0));
    return status;
  }
  cublasStatus_t run(const T* a, const T* b, const T* c, T* d, cudaStream_t stream = nullptr) const {
    return cublasLtMatmul(handle, description, &alpha, a, a_layout, b, b_layout, &beta, c, c_layout, d, d_layout,
                          algorithm, workspace, workspace_bytes, stream);
  }

  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatrixLayout_t a_layout, b_layout, c_layout, d_layout;
  cublasLtMatmulHeuristicResult_t found{};
  const cublasLtMatmulAlgo_t* algorithm = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  T alpha = 1;
  T beta = 0;
};

/// Small integers: their products and sums are exact.
template <typename T>
std::vector<T> integers(std::size_t n, int seed) {
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>((i * 7 + static_cast<std::size_t>(seed) * 5) % 11) - 5;
  return x;
}

template <typename T>
void compare(cublasLtOrder_t order, bool transpose_a, bool transpose_b, std::int32_t batches, bool bias) {
  const std::uint64_t m = 3;
  const std::uint64_t n = 4;
  const std::uint64_t k = 5;
  const Matrix a{transpose_a ? k : m, transpose_a ? m : k, order, 1, batches};
  const Matrix b{transpose_b ? n : k, transpose_b ? k : n, order, 2, batches};
  const Matrix d{m, n, order, 3, batches};
  const std::vector<T> x = integers<T>(a.elements(), 1);
  const std::vector<T> y = integers<T>(b.elements(), 2);
  const std::vector<T> z = integers<T>(d.elements(), 3);
  const std::vector<T> v = integers<T>(m, 4);
  const Array<T> on_x(x);
  const Array<T> on_y(y);
  const Array<T> on_z(z);
  const Array<T> on_v(v);
  Product<T> product(a, b, d);
  product.set(CUBLASLT_MATMUL_DESC_TRANSA, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  product.set(CUBLASLT_MATMUL_DESC_TRANSB, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (bias) product.add_bias(on_v.data);
  product.alpha = 2;
  product.beta = 3;
  REQUIRE(product.find() == CUBLAS_STATUS_SUCCESS);
  product.algorithm = &product.found.algo;
  REQUIRE(product.run(on_x.data, on_y.data, on_z.data, on_z.data) == CUBLAS_STATUS_SUCCESS);
  std::vector<T> expected = z;
  for (std::int32_t batch = 0; batch < batches; ++batch)
    for (std::uint64_t i = 0; i < m; ++i)
      for (std::uint64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (std::uint64_t l = 0; l < k; ++l)
          sum += x[transpose_a ? a.at(batch, l, i) : a.at(batch, i, l)] *
                 y[transpose_b ? b.at(batch, j, l) : b.at(batch, l, j)];
        expected[d.at(batch, i, j)] = 2 * sum + 3 * z[d.at(batch, i, j)] + (bias ? v[i] : 0);
      }
  CHECK(on_z.download() == expected);  // and what lies between the columns is untouched
}

}  // namespace

TEST_CASE("cublasLt stand-in: products in both orders, transposed, in batches, with a bias") {
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true})
      for (const std::int32_t batches : {1, 3}) {
        compare<float>(CUBLASLT_ORDER_ROW, transpose_a, transpose_b, batches, false);
        compare<double>(CUBLASLT_ORDER_ROW, transpose_a, transpose_b, batches, false);
        for (const bool bias : {false, true}) {
          compare<float>(CUBLASLT_ORDER_COL, transpose_a, transpose_b, batches, bias);
          compare<double>(CUBLASLT_ORDER_COL, transpose_a, transpose_b, batches, bias);
        }
      }
}

TEST_CASE("cublasLt stand-in: a row-major product with a bias on every row, as a backend writes it") {
  const std::vector<float> x = integers<float>(6 * 5, 1);
  const std::vector<float> w = integers<float>(5 * 4, 2);
  const std::vector<float> bias = integers<float>(4, 3);
  Buffer y(6 * 4);
  sample::affine(Buffer(x), Buffer(w), Buffer(bias), y, 6, 5, 4);
  const std::vector<float> host = y.download();
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 4; ++j) {
      float expected = bias[j];
      for (std::size_t l = 0; l < 5; ++l) expected += x[i * 5 + l] * w[l * 4 + j];
      CHECK(host[i * 4 + j] == expected);
    }
}

TEST_CASE("cublasLt stand-in: inputs are rounded as the compute type says") {
  const Matrix one{1, 1};
  const auto squared = [&](cublasComputeType_t compute, float x) {
    const Array<float> a(std::vector<float>{x});
    const Array<float> b(std::vector<float>{1});
    const Array<float> d(1);
    const Product<float> product(one, one, one, compute);
    REQUIRE(product.run(a.data, b.data, d.data, d.data) == CUBLAS_STATUS_SUCCESS);
    return d.download()[0];
  };
  const float x = 1 + std::ldexp(1.0F, -11);  // half a unit of TF32's last place
  CHECK(squared(CUBLAS_COMPUTE_32F, x) == x);
  CHECK(squared(CUBLAS_COMPUTE_32F_FAST_TF32, x) == 1 + std::ldexp(1.0F, -10));
  CHECK(squared(CUBLAS_COMPUTE_32F_FAST_TF32, -x) == -1 - std::ldexp(1.0F, -10));
  CHECK(squared(CUBLAS_COMPUTE_32F_FAST_TF32, 1 + std::ldexp(1.0F, -12)) == 1);
  CHECK(squared(CUBLAS_COMPUTE_32F_FAST_16BF, x) == 1);
  CHECK(squared(CUBLAS_COMPUTE_32F_FAST_TF32, INFINITY) == INFINITY);
  CHECK(std::isnan(squared(CUBLAS_COMPUTE_32F_FAST_TF32, NAN)));
}

TEST_CASE("cublasLt stand-in: C is not read when beta is 0, and the workspace is written") {
  const Matrix two{2, 2};
  const Array<float> a(integers<float>(4, 1));
  const Array<float> d(4);  // NaN
  const Array<float> workspace(std::vector<float>(512));
  Product<float> product(two, two, two);
  product.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{2048});
  REQUIRE(product.find() == CUBLAS_STATUS_SUCCESS);
  REQUIRE(product.found.workspaceSize > 0);
  product.algorithm = &product.found.algo;
  CHECK(product.run(a.data, a.data, d.data, d.data) == CUBLAS_STATUS_INVALID_VALUE);
  product.workspace = workspace.data;
  product.workspace_bytes = product.found.workspaceSize - 1;
  CHECK(product.run(a.data, a.data, d.data, d.data) == CUBLAS_STATUS_INVALID_VALUE);
  product.workspace_bytes = workspace.size * sizeof(float);
  CHECK(product.run(a.data, a.data, d.data, d.data) == CUBLAS_STATUS_SUCCESS);
  for (const float value : d.download()) CHECK(std::isfinite(value));
  CHECK(std::isnan(workspace.download()[0]));
}

TEST_CASE("cublasLt stand-in: what the library refuses") {
  constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE;
  constexpr auto unsupported = CUBLAS_STATUS_NOT_SUPPORTED;
  const Array<float> memory(std::vector<float>(64));
  float* const p = memory.data;
  const auto both = [&](Product<float>& product, cublasStatus_t expected) {
    CHECK(product.find() == expected);
    CHECK(product.run(p, p, p, p) == expected);
  };
  {
    Product<float> product({3, 5}, {5, 4}, {3, 4});
    both(product, CUBLAS_STATUS_SUCCESS);
    for (const int missing : {0, 1, 2, 3})
      CHECK(product.run(missing == 0 ? nullptr : p, missing == 1 ? nullptr : p, missing == 2 ? nullptr : p,
                        missing == 3 ? nullptr : p) == invalid);
    float host[64] = {};
    CHECK(product.run(host, p, p, p) == CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK(product.run(p, p, p, p + 60) == CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
    CHECK(product.run(reinterpret_cast<float*>(reinterpret_cast<char*>(p) + 2), p, p, p) == invalid);
    std::uint16_t small = 1;
    CHECK(cublasLtMatmulDescSetAttribute(product.description, CUBLASLT_MATMUL_DESC_TRANSA, &small, sizeof small) ==
          invalid);
    CHECK(cublasLtMatrixLayoutSetAttribute(product.a_layout, CUBLASLT_MATRIX_LAYOUT_ROWS, nullptr, 8) == invalid);
  }
  const auto with_layouts = [&](const Matrix& a, const Matrix& b, const Matrix& d, cublasStatus_t expected) {
    Product<float> product(a, b, d);
    both(product, expected);
  };
  with_layouts({3, 5}, {4, 4}, {3, 4}, invalid);  // inner extents
  with_layouts({2, 5}, {5, 4}, {3, 4}, invalid);
  with_layouts({3, 5}, {5, 3}, {3, 4}, invalid);
  with_layouts({3, 0}, {0, 4}, {3, 4}, invalid);
  with_layouts({3, 5, CUBLASLT_ORDER_COL, -1}, {5, 4}, {3, 4}, invalid);  // leading dimension
  with_layouts({3, 5, CUBLASLT_ORDER_ROW, -1}, {5, 4}, {3, 4}, invalid);
  with_layouts({3, 5, CUBLASLT_ORDER_COL, 0, 2}, {5, 4}, {3, 4}, invalid);  // batches
  with_layouts({3, 5, CUBLASLT_ORDER_ROW}, {5, 4}, {3, 4}, CUBLAS_STATUS_SUCCESS);

  Product<float> device_scalars({3, 5}, {5, 4}, {3, 4});
  device_scalars.set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
  both(device_scalars, unsupported);
  Product<float> of_other_type({3, 5}, {5, 4}, {3, 4}, CUBLAS_COMPUTE_64F);
  both(of_other_type, unsupported);
  Product<float> half({3, 5}, {5, 4}, {3, 4});
  half.set(half.a_layout, CUBLASLT_MATRIX_LAYOUT_TYPE, CUDA_R_16BF);
  both(half, unsupported);

  const Matrix by_rows{3, 3, CUBLASLT_ORDER_ROW};
  Product<float> bias_by_rows(by_rows, by_rows, by_rows);
  bias_by_rows.add_bias(p);
  both(bias_by_rows, unsupported);
  Product<float> no_bias({3, 3}, {3, 3}, {3, 3});
  no_bias.add_bias(nullptr);
  CHECK(no_bias.run(p, p, p, p) == invalid);
  Product<float> not_in_place({3, 3}, {3, 3}, {3, 3});
  not_in_place.set(not_in_place.c_layout, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{4});
  CHECK(not_in_place.run(p, p, p, p) == invalid);
}

TEST_CASE("cublasLt stand-in: pointers are as aligned as the heuristic was told") {
  const Array<float> memory(std::vector<float>(256));
  float* const p = memory.data;
  Product<float> product({3, 3}, {3, 3}, {3, 3});
  REQUIRE(product.find() == CUBLAS_STATUS_SUCCESS);
  product.algorithm = &product.found.algo;
  CHECK(product.run(p, p, p, p) == CUBLAS_STATUS_SUCCESS);
  CHECK(product.run(p + 1, p, p, p) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(product.run(p, p, p + 4, p + 4) == CUBLAS_STATUS_NOT_SUPPORTED);
  product.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{4});
  REQUIRE(product.find() == CUBLAS_STATUS_SUCCESS);
  CHECK(product.run(p + 1, p, p, p) == CUBLAS_STATUS_SUCCESS);
  CHECK(product.run(p, p + 1, p, p) == CUBLAS_STATUS_NOT_SUPPORTED);
  product.algorithm = nullptr;
  CHECK(product.run(p, p + 1, p, p) == CUBLAS_STATUS_SUCCESS);

  Product<float> other({2, 3}, {3, 3}, {2, 3});
  other.algorithm = &product.found.algo;
  CHECK(other.run(p, p, p, p) == CUBLAS_STATUS_INVALID_VALUE);
}

TEST_CASE("cublasLt stand-in: the bias can be refused") {
  const Array<float> memory(std::vector<float>(64));
  float* const p = memory.data;
  Product<float> product({3, 3}, {3, 3}, {3, 3});
  product.add_bias(p);
  levda::cuda_on_cpu::refuse_bias_epilogue(true);
  CHECK(product.find() == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(product.run(p, p, p, p) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(cudaGetLastError() == cudaSuccess);
  Buffer y(4);
  CHECK_THROWS_WITH_AS(sample::affine(Buffer(4), Buffer(4), Buffer(2), y, 2, 2, 2),
                       "[sample] cublasLt: the requested functionality is not supported", levda::Error);
  levda::cuda_on_cpu::refuse_bias_epilogue(false);
  CHECK(product.find() == CUBLAS_STATUS_SUCCESS);
}

TEST_CASE("cublasLt stand-in: a captured product is run by the graph, without its descriptors") {
  const Array<double> a({1, 2, 3, 4});
  const Array<double> d(4);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  const std::int64_t before = counts().products_run;
  {
    const Product<double> product({2, 2}, {2, 2}, {2, 2});
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(product.run(a.data, a.data, d.data, d.data, stream) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  }
  CHECK(std::isnan(d.download()[0]));
  REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(counts().products_run == before);
  CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
  CHECK(d.download() == std::vector<double>{7, 10, 15, 22});
  CHECK(counts().products_run == before + 1);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}
