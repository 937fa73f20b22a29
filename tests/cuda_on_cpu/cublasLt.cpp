#include "cublasLt.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "device.h"

using levda::cuda_on_cpu::call;
using levda::cuda_on_cpu::Device;
using levda::cuda_on_cpu::device;

struct cublasLtContext {
  bool alive = true;  // read by every call, so that a sanitizer sees the use of a destroyed one
};

struct cublasLtMatrixLayoutOpaque_t {
  std::int32_t type;
  std::uint64_t rows;
  std::uint64_t cols;
  std::int64_t ld;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::int32_t batches = 1;
  std::int64_t batch_stride = 0;
};

struct cublasLtMatmulDescOpaque_t {
  std::int32_t compute;
  std::int32_t scale;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transpose_a = CUBLAS_OP_N;
  std::int32_t transpose_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int64_t bias_stride = 0;
  std::int32_t bias_type = -1;  // that of D
};

struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace = 0;
  std::uint32_t alignment_a = 256, alignment_b = 256, alignment_c = 256, alignment_d = 256;
};

namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;
using Description = cublasLtMatmulDescOpaque_t;
using Preference = cublasLtMatmulPreferenceOpaque_t;

struct Text {
  cublasStatus_t status;
  const char* name;
  const char* message;
};

constexpr Text texts[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE",
     "an unsupported value or parameter was passed to the function"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH",
     "the function requires an architectural feature absent from the device"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "an access to GPU memory space failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the function failed to launch on the GPU"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "the requested functionality is not supported"},
    {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR", "the license check failed"},
};

const Text* text(cublasStatus_t status) {
  for (const Text& t : texts)
    if (t.status == status) return &t;
  return nullptr;
}

template <typename T>
cublasStatus_t set(T& field, const void* value, std::size_t bytes) {
  if (!value || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

void count(int objects) {
  const std::lock_guard<std::mutex> lock(device().mutex);
  device().counts.live_objects += objects;
}

template <typename T>
cublasStatus_t create(T** object, const T& value) {
  if (!object) return CUBLAS_STATUS_INVALID_VALUE;
  *object = new T(value);
  count(1);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
cublasStatus_t destroy(T* object) {
  if (!object) return CUBLAS_STATUS_SUCCESS;
  count(-1);
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}

bool transposed(std::int32_t operation) { return operation != CUBLAS_OP_N; }

std::size_t element(std::int32_t type) { return type == CUDA_R_64F ? sizeof(double) : sizeof(float); }

/// A product that can be run: everything by value, as a graph keeps it for longer than the caller's descriptors live.
struct Product {
  Description description;
  Layout a, b, c, d;

  std::uint64_t m() const { return d.rows; }
  std::uint64_t n() const { return d.cols; }
  std::uint64_t k() const { return transposed(description.transpose_a) ? a.rows : a.cols; }
  bool has_bias() const { return description.epilogue == CUBLASLT_EPILOGUE_BIAS; }
};

cublasStatus_t check(const Layout& layout) {
  if (layout.rows == 0 || layout.cols == 0 || layout.batches < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (layout.order != CUBLASLT_ORDER_COL && layout.order != CUBLASLT_ORDER_ROW) return CUBLAS_STATUS_NOT_SUPPORTED;
  const std::uint64_t least = layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.cols;
  const bool fits = layout.ld > 0 && static_cast<std::uint64_t>(layout.ld) >= least && layout.batch_stride >= 0;
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t check(const Product& p) {
  for (const Layout* layout : {&p.a, &p.b, &p.c, &p.d}) {
    if (const cublasStatus_t status = check(*layout); status != CUBLAS_STATUS_SUCCESS) return status;
    if (layout->batches != p.d.batches) return CUBLAS_STATUS_INVALID_VALUE;
    if (layout->type != p.d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool ta = transposed(p.description.transpose_a);
  const bool tb = transposed(p.description.transpose_b);
  const bool fits = (ta ? p.a.cols : p.a.rows) == p.m() && (tb ? p.b.rows : p.b.cols) == p.n() &&
                    (tb ? p.b.cols : p.b.rows) == p.k() && p.c.rows == p.m() && p.c.cols == p.n();
  if (!fits) return CUBLAS_STATUS_INVALID_VALUE;
  // Batches of the result must not be the same matrix.
  if (p.d.batches > 1 && p.d.batch_stride == 0) return CUBLAS_STATUS_INVALID_VALUE;

  bool supported = p.description.pointer_mode == CUBLASLT_POINTER_MODE_HOST && p.description.scale == p.d.type;
  switch (p.description.compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32: supported = supported && p.d.type == CUDA_R_32F; break;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC: supported = supported && p.d.type == CUDA_R_64F; break;
    default: supported = false;
  }
  if (p.has_bias()) {
    // The library has no bias for a D in row order.
    supported = supported && p.d.order == CUBLASLT_ORDER_COL &&
                (p.description.bias_type == -1 || p.description.bias_type == p.d.type);
  } else {
    supported = supported && p.description.epilogue == CUBLASLT_EPILOGUE_DEFAULT;
  }
  return supported ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

std::size_t extent_in_bytes(const Layout& layout) {
  const bool column_order = layout.order == CUBLASLT_ORDER_COL;
  const std::uint64_t lines = column_order ? layout.cols : layout.rows;
  const std::uint64_t line = column_order ? layout.rows : layout.cols;
  const std::uint64_t elements = static_cast<std::uint64_t>(layout.batches - 1) * layout.batch_stride +
                                 (lines - 1) * static_cast<std::uint64_t>(layout.ld) + line;
  return elements * element(layout.type);
}

double load(const void* data, std::int32_t type, std::uint64_t index) {
  return type == CUDA_R_64F ? static_cast<const double*>(data)[index] : double{static_cast<const float*>(data)[index]};
}

std::uint64_t offset(const Layout& layout, std::uint64_t batch, std::uint64_t row, std::uint64_t col) {
  const auto ld = static_cast<std::uint64_t>(layout.ld);
  return batch * static_cast<std::uint64_t>(layout.batch_stride) +
         (layout.order == CUBLASLT_ORDER_COL ? row + col * ld : row * ld + col);
}

/// To `bits` of mantissa, ties away from zero, as tensor cores take float32.
double rounded(double x, int bits) {
  const auto value = static_cast<float>(x);
  const auto raw = std::bit_cast<std::uint32_t>(value);
  constexpr std::uint32_t exponent = 0x7F800000U;
  if ((raw & exponent) == exponent) return x;  // an infinity or NaN
  const int dropped = 23 - bits;
  return std::bit_cast<float>((raw + (1U << (dropped - 1))) & ~((1U << dropped) - 1));
}

/// op(matrix)(i, j) at i * columns + j, or at j * rows + i, so that the sum runs over neighbours.
std::vector<double> packed(const Product& p, const Layout& layout, const void* data, std::uint64_t batch,
                           bool rows_are_summed) {
  int bits = 0;
  if (p.description.compute == CUBLAS_COMPUTE_32F_FAST_TF32) bits = 10;
  if (p.description.compute == CUBLAS_COMPUTE_32F_FAST_16BF) bits = 7;
  std::vector<double> values;
  values.reserve(layout.rows * layout.cols);
  const std::uint64_t outer = rows_are_summed ? layout.cols : layout.rows;
  const std::uint64_t inner = rows_are_summed ? layout.rows : layout.cols;
  for (std::uint64_t i = 0; i < outer; ++i)
    for (std::uint64_t j = 0; j < inner; ++j) {
      const double x =
          load(data, layout.type, rows_are_summed ? offset(layout, batch, j, i) : offset(layout, batch, i, j));
      values.push_back(bits == 0 ? x : rounded(x, bits));
    }
  return values;
}

struct Pointers {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  void* workspace;
  std::size_t workspace_bytes;
};

bool can_touch(const Device& device, const Product& p, const Pointers& at) {
  const std::uint64_t bias_elements =
      static_cast<std::uint64_t>(p.d.batches - 1) * static_cast<std::uint64_t>(p.description.bias_stride) + p.m();
  return device.arena.holds(at.a, extent_in_bytes(p.a)) && device.arena.holds(at.b, extent_in_bytes(p.b)) &&
         device.arena.holds(at.c, extent_in_bytes(p.c)) && device.arena.holds(at.d, extent_in_bytes(p.d)) &&
         (!p.has_bias() || device.arena.holds(p.description.bias, bias_elements * element(p.d.type))) &&
         (at.workspace_bytes == 0 || device.arena.holds(at.workspace, at.workspace_bytes));
}

void multiply(const Product& p, const Pointers& at, double alpha, double beta) {
  if (at.workspace_bytes > 0) std::memset(at.workspace, 0xFF, at.workspace_bytes);
  const std::uint64_t m = p.m();
  const std::uint64_t n = p.n();
  const std::uint64_t k = p.k();
  for (std::uint64_t batch = 0; batch < static_cast<std::uint64_t>(p.d.batches); ++batch) {
    const std::vector<double> a = packed(p, p.a, at.a, batch, transposed(p.description.transpose_a));
    const std::vector<double> b = packed(p, p.b, at.b, batch, !transposed(p.description.transpose_b));
    for (std::uint64_t i = 0; i < m; ++i)
      for (std::uint64_t j = 0; j < n; ++j) {
        const double* x = &a[i * k];
        const double* y = &b[j * k];
        double sum = 0;
        for (std::uint64_t l = 0; l < k; ++l) sum += x[l] * y[l];
        double value = alpha * sum;
        if (beta != 0) value += beta * load(at.c, p.c.type, offset(p.c, batch, i, j));
        if (p.has_bias())
          value +=
              load(p.description.bias, p.d.type, batch * static_cast<std::uint64_t>(p.description.bias_stride) + i);
        const std::uint64_t index = offset(p.d, batch, i, j);
        if (p.d.type == CUDA_R_64F) {
          static_cast<double*>(at.d)[index] = value;
        } else {
          static_cast<float*>(at.d)[index] = static_cast<float>(value);
        }
      }
  }
}

bool refuses_bias() {
  const std::lock_guard<std::mutex> lock(device().mutex);
  return device().refuses_bias_epilogue;
}

bool aligned(const void* memory, std::uint64_t to) { return reinterpret_cast<std::uintptr_t>(memory) % to == 0; }

}  // namespace

const char* cublasLtGetStatusName(cublasStatus_t status) {
  const Text* found = text(status);
  return found ? found->name : "unrecognized status";
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  const Text* found = text(status);
  return found ? found->message : "unrecognized status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  {
    const std::lock_guard<std::mutex> lock(device().mutex);
    if (device().state() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  return create(handle, cublasLtContext{});
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return handle && handle->alive ? destroy(handle) : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t cols, std::int64_t ld) {
  return create(layout, Layout{.type = type, .rows = rows, .cols = cols, .ld = ld});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy(layout); }

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes) {
  if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE: return set(layout->type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return set(layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS: return set(layout->rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS: return set(layout->cols, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD: return set(layout->ld, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return set(layout->batches, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return set(layout->batch_stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return create(description, Description{.compute = compute, .scale = scale});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) { return destroy(description); }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
  if (!description) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: return set(description->compute, value, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE: return set(description->scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: return set(description->pointer_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(description->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(description->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(description->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(description->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE: return set(description->bias_stride, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(description->bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create(preference, Preference{});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) { return destroy(preference); }

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  if (!preference) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return set(preference->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return set(preference->alignment_a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return set(preference->alignment_b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return set(preference->alignment_c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return set(preference->alignment_d, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

namespace {

/// The contents of cublasLtMatmulAlgo_t.
struct Algorithm {
  std::uint64_t magic;
  std::uint64_t m, n, k;
  std::uint64_t workspace;
  std::uint32_t alignment_a, alignment_b, alignment_c, alignment_d;
  std::uint64_t unused;
};
static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t));

constexpr std::uint64_t magic_of_algorithms = 0x6c65766461;
constexpr std::uint64_t wanted_workspace = 1024;

}  // namespace

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  if (!handle || !handle->alive) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!description || !a || !b || !c || !d || !preference || requested < 1 || !results || !returned)
    return CUBLAS_STATUS_INVALID_VALUE;
  *returned = 0;
  const Product p{.description = *description, .a = *a, .b = *b, .c = *c, .d = *d};
  if (const cublasStatus_t status = check(p); status != CUBLAS_STATUS_SUCCESS) return status;
  if (p.has_bias() && refuses_bias()) return CUBLAS_STATUS_NOT_SUPPORTED;
  const Algorithm algorithm{.magic = magic_of_algorithms,
                            .m = p.m(),
                            .n = p.n(),
                            .k = p.k(),
                            .workspace = std::min(preference->workspace, wanted_workspace),
                            .alignment_a = preference->alignment_a,
                            .alignment_b = preference->alignment_b,
                            .alignment_c = preference->alignment_c,
                            .alignment_d = preference->alignment_d,
                            .unused = 0};
  results[0] = {.algo = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm),
                .workspaceSize = algorithm.workspace,
                .state = CUBLAS_STATUS_SUCCESS,
                .wavesCount = 1,
                .reserved = {}};
  *returned = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  if (!handle || !handle->alive) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!description || !a_layout || !b_layout || !c_layout || !d_layout || !alpha || !beta || !a || !b || !c || !d)
    return CUBLAS_STATUS_INVALID_VALUE;
  const Product p{.description = *description, .a = *a_layout, .b = *b_layout, .c = *c_layout, .d = *d_layout};
  if (const cublasStatus_t status = check(p); status != CUBLAS_STATUS_SUCCESS) return status;
  if (p.has_bias() && refuses_bias()) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (p.has_bias() && !p.description.bias) return CUBLAS_STATUS_INVALID_VALUE;
  if (c == d && (p.c.ld != p.d.ld || p.c.order != p.d.order || p.c.batch_stride != p.d.batch_stride))
    return CUBLAS_STATUS_INVALID_VALUE;

  Algorithm found{};
  if (algorithm) {
    found = std::bit_cast<Algorithm>(*algorithm);
    if (found.magic != magic_of_algorithms || found.m != p.m() || found.n != p.n() || found.k != p.k())
      return CUBLAS_STATUS_INVALID_VALUE;
    if (!aligned(a, found.alignment_a) || !aligned(b, found.alignment_b) || !aligned(c, found.alignment_c) ||
        !aligned(d, found.alignment_d))
      return CUBLAS_STATUS_NOT_SUPPORTED;
    if (found.workspace > 0 && (!workspace || workspace_bytes < found.workspace || !aligned(workspace, 16)))
      return CUBLAS_STATUS_INVALID_VALUE;
  }
  for (const void* memory : {a, b, c, static_cast<const void*>(d), p.has_bias() ? p.description.bias : a})
    if (!aligned(memory, element(p.d.type))) return CUBLAS_STATUS_INVALID_VALUE;

  const Pointers at{.a = a, .b = b, .c = c, .d = d, .workspace = workspace, .workspace_bytes = found.workspace};
  const double scale = load(alpha, p.d.type, 0);
  const double scale_of_c = load(beta, p.d.type, 0);
  const cudaError_t error = call([&](Device& dev) {
    if (!can_touch(dev, p, at)) return cudaErrorIllegalAddress;
    return dev.submit(stream, [=, &dev] {
      if (!can_touch(dev, p, at)) return cudaErrorIllegalAddress;
      multiply(p, at, scale, scale_of_c);
      ++dev.counts.products_run;
      return cudaSuccess;
    });
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
