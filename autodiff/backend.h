#pragma once

/// What a device must be able to do. Operations (ops/) are written against this interface only, so a second backend
/// adds files and edits no operation.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "autodiff/shape.h"

namespace levda::autodiff {

class Tensor;

enum class DType : std::uint8_t { float32, float64, int64 };
enum class Device : std::uint8_t { cpu, cuda };

const char* name(DType);
const char* name(Device);
std::size_t bytes_of(DType);

/// Scalar functions; their definitions are in autodiff/internal/scalar.h, once for all backends.
enum class Unary : std::uint8_t {
  neg,
  sin,
  cos,
  exp,
  sqrt,
  square,
  sigmoid,
  silu_derivative,
  tanh,
  relu,
  gelu,
  erf,
  softplus,
  log,
  abs,
  sign
};
/// greater: 1 where a > b, else 0.
enum class Binary : std::uint8_t { add, sub, mul, div, maximum, minimum, greater };

/// A regular walk over a buffer: element (i0, i1, ..) of `extents` lies at offset + sum i_a strides[a], in elements.
struct Strided {
  std::int64_t offset = 0;
  std::array<std::int64_t, Shape::max_rank> strides{};
};

/// Bytes handed out now, and the most there ever were.
struct MemoryUse {
  std::int64_t live = 0;
  std::int64_t peak = 0;
};

/// What a tensor holds: the least and the greatest of its finite numbers (inf and -inf when there are none), and how
/// many are NaN or infinite.
struct Range {
  double least;
  double greatest;
  std::int64_t nonfinite = 0;
};

/// What stays the same in all steps of Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1).
struct AdamConstants {
  double beta1, beta2, epsilon;
};

/// Uniform random rows: group g draws from {0, .., choices - 1} with Random(seed, stream + g, step).
struct RandomRows {
  std::uint64_t seed;
  std::uint32_t stream;
  std::int64_t choices;
};

/// How products of float32 matrices are computed: what is less than float32 must be asked for.
enum class MatmulPrecision : std::uint8_t { float32, tf32, bf16 };
const char* name(MatmulPrecision);

/// A fixed sequence of operations, see Backend::record.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void run() = 0;
};

/// Every function may be called from several threads at once. Shapes and types were checked by the operation.
/// Output buffers are allocated and never overlap an input, except where a docstring allows it.
/// A device may run behind the caller: an error of an operation can then come out of a later call, of download at last.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  /// One line about the device, its driver and library: for provenance.
  virtual std::string description() const = 0;
  /// How many tapes may usefully run at once, each on its own thread. A constant of the backend: the splits of a sum
  /// depend on it, and never on the number of threads.
  virtual std::int64_t lanes() const = 0;
  /// True when one thread should hand over work in few large operations; false when many threads should each work on
  /// a small part that stays in a core's cache.
  bool prefers_large_batches() const { return lanes() == 1; }
  /// Products of float32 from now on. Throws Error where the backend has no such products.
  virtual void set_matmul_precision(MatmulPrecision precision) = 0;
  /// Waits until all is done.
  virtual void synchronise() = 0;
  /// f as a sequence that is to run often: each run() does what calling f would. A GPU may call f once or twice only,
  /// note the operations and replay them in one go. So f computes with tensors alone: what differs from run to run lies
  /// in tensors that stay where they are (overwritten by upload or by f), f reads nothing back to the host, and all
  /// that it reads or is to leave behind outlives the recording.
  virtual std::unique_ptr<Recording> record(std::function<void()> f) = 0;

  /// 64-byte aligned memory with undefined contents; throws Error when there is none.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  virtual MemoryUse memory() const = 0;
  /// Bytes that can be expected to be free; the greatest number where nobody knows.
  virtual std::int64_t available() const = 0;
  virtual void upload(void* to, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* from, std::size_t bytes) = 0;

  virtual void fill(Tensor& y, double value) = 0;
  /// y = x in another floating type.
  virtual void convert(const Tensor& x, Tensor& y) = 0;
  /// Strided copy: slices, concatenations, repetitions and transpositions.
  virtual void copy(const Shape& extents, const Tensor& x, const Strided& from, Tensor& y, const Strided& to) = 0;
  virtual void unary(Unary f, const Tensor& x, Tensor& y) = 0;
  /// y = silu(x), and its derivative from the same exponential where it is wanted (not null). y may be x.
  virtual void silu(const Tensor& x, Tensor& y, Tensor* derivative) = 0;
  /// y = f(a, b) with broadcasting to y's shape; y may be a or b where that one has y's shape.
  virtual void binary(Binary f, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y = alpha x + beta.
  virtual void scale(const Tensor& x, double alpha, double beta, Tensor& y) = 0;
  /// y = x^p.
  virtual void power(const Tensor& x, double p, Tensor& y) = 0;
  /// y = a where mask is not 0, else b, with broadcasting to y's shape: a selection, not a product.
  virtual void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y = op(a) op(b) (+ bias on every row) over the last two axes; leading axes of a and b broadcast.
  /// bias: shape (columns), or null.
  virtual void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
                      Tensor& y) = 0;
  /// y = sum of x over the axes in which y (which broadcasts to x) has extent 1 or is missing. The order of the sum
  /// depends on the shapes only.
  virtual void sum_to(const Tensor& x, Tensor& y) = 0;
  /// y = greatest of x over the same axes as in sum_to; NaN if one is, -inf if there are none.
  virtual void max_to(const Tensor& x, Tensor& y) = 0;
  /// op(a) y = b for square matrices in the last two axes; leading axes broadcast. Throws Error "[solve] singular ..".
  virtual void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) = 0;
  /// y y' = (a + a') / 2 with y lower triangular, for matrices in the last two axes.
  /// Throws Error "[cholesky] not positive definite ..".
  virtual void cholesky(const Tensor& a, Tensor& y) = 0;
  /// Waits for x; for checks, not for operations.
  virtual Range range(const Tensor& x) = 0;
  /// y[o, k, i] = x[o, index[k], i]: x is (outer, rows, inner), y is (outer, index size, inner).
  virtual void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) = 0;
  /// y = 0, then y[o, index[k], i] += x[o, k, i] in the order of k.
  virtual void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) = 0;
  /// In place: m, v moments and p parameters from the gradient g. now: float64 (4): the rate, 1 / (1 - beta1^t),
  /// 1 / (1 - beta2^t), and the share of p that is taken from it first (decoupled weight decay).
  virtual void adam(const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
                    Tensor& p) = 0;
  /// y[g, k] = base[g] + the k-th of group g's random rows. step: int64 (1), base: int64 (groups), y: int64 (groups
  /// times draws).
  virtual void draw_rows(const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) = 0;
};

/// The CPU backend (oneTBB + Eigen). One for the process: it holds nothing but a cache of free memory.
Backend& cpu();

/// The CUDA backend on the first GPU. Throws Error that says what is missing: a build with it, a driver, a GPU.
Backend& cuda();

/// cpu() or cuda(). Errors as for cuda().
Backend& backend_of(Device device);

}  // namespace levda::autodiff
