#pragma once

/// The interface of a device. Operations (ops/) use only this interface, so a new backend adds files and changes no
/// operation.

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

/// Scalar functions. Their formulas are in autodiff/internal/scalar.h, once for all backends. autodiff/op.h says how
/// precise they are.
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

/// Bytes in use, and the largest number so far.
struct MemoryUse {
  std::int64_t live = 0;
  std::int64_t peak = 0;
};

/// The least and the greatest finite number of a tensor (inf and -inf when there are none), and how many of its numbers
/// are NaN or infinite.
struct Range {
  double least;
  double greatest;
  std::int64_t nonfinite = 0;
};

/// The constants of Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1).
struct AdamConstants {
  double beta1, beta2, epsilon;
};

/// Uniform random rows: group g draws from {0, .., choices - 1} with Random(seed, stream + g, step).
struct RandomRows {
  std::uint64_t seed;
  std::uint32_t stream;
  std::int64_t choices;
};

/// How products of float32 matrices are computed. float32 is the default; tf32 and bf16 are faster and less precise.
enum class MatmulPrecision : std::uint8_t { float32, tf32, bf16 };
const char* name(MatmulPrecision);

/// A fixed sequence of operations that can be run again; see Backend::record.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void run() = 0;
};

/// Several threads may call every function at once. The operation has checked shapes and types. Output buffers are
/// allocated and never overlap an input, except where a docstring allows it. A device may run behind the caller; then a
/// later call, download at the latest, throws the error of an operation.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  /// One line about the device, its driver and its library, for provenance.
  virtual std::string description() const = 0;
  /// How many tapes may usefully run at once, each on its own thread. A constant of the backend: the splits of a sum
  /// depend on it, and never on the number of threads.
  virtual std::int64_t lanes() const = 0;
  /// True when one thread should hand over work in few large operations; false when many threads should each work on
  /// a small part that stays in a core's cache.
  bool prefers_large_batches() const { return lanes() == 1; }
  /// Sets the precision of all later products of float32. Throws Error when the backend does not support it.
  virtual void set_matmul_precision(MatmulPrecision precision) = 0;
  /// Waits until all operations have finished.
  virtual void synchronise() = 0;
  /// Records f as a sequence that runs often: each run() has the effect of calling f. A GPU may call f only once or
  /// twice, record the operations and replay them together. Therefore f computes with tensors alone: values that differ
  /// from run to run are in tensors that keep their storage (upload or f overwrites them), f copies nothing to the
  /// host, and every tensor that it reads or writes for later outlives the recording.
  virtual std::unique_ptr<Recording> record(std::function<void()> f) = 0;

  /// 64-byte aligned memory with undefined contents. Throws Error when there is not enough.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Bytes of memory that the device uses for a request of `bytes`.
  virtual std::size_t footprint(std::size_t bytes) const { return bytes; }
  virtual MemoryUse memory() const = 0;
  /// Gives free blocks that are kept for later back to the system. No other thread may compute meanwhile.
  virtual void release_cache() {}
  /// Bytes that are probably free; the largest integer where this is unknown.
  virtual std::int64_t available() const = 0;
  virtual void upload(void* to, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* from, std::size_t bytes) = 0;

  virtual void fill(Tensor& y, double value) = 0;
  /// y = x in another floating type.
  virtual void convert(const Tensor& x, Tensor& y) = 0;
  /// Strided copy: slices, concatenations, repetitions and transpositions.
  virtual void copy(const Shape& extents, const Tensor& x, const Strided& from, Tensor& y, const Strided& to) = 0;
  virtual void unary(Unary f, const Tensor& x, Tensor& y) = 0;
  /// y = silu(x), and its derivative from the same exponential unless `derivative` is null. y may be x.
  virtual void silu(const Tensor& x, Tensor& y, Tensor* derivative) = 0;
  /// y = f(a, b) with broadcasting to y's shape; y may be a or b if that operand has y's shape.
  virtual void binary(Binary f, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y = alpha x + beta.
  virtual void scale(const Tensor& x, double alpha, double beta, Tensor& y) = 0;
  /// y = x^p.
  virtual void power(const Tensor& x, double p, Tensor& y) = 0;
  /// y = a where mask is not 0, else b, with broadcasting to y's shape. A NaN that is not selected does not matter.
  virtual void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y = op(a) op(b) (+ bias on every row) over the last two axes; leading axes of a and b broadcast.
  /// bias: shape (columns), or null. The CPU's sums over the inner axis are off by at most (4096 + log2 n) u, see
  /// sum_to.
  virtual void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
                      Tensor& y) = 0;
  /// y = sum of x over the axes in which y (which broadcasts to x) has extent 1 or is missing. The order of the sum
  /// depends on the shapes only. A sum of n numbers is off by at most e times the sum of their sizes: on the CPU
  /// e = (log2 n + 3) u with u = 2^-24 for float32 and 2^-53 for float64; on a GPU e = u + n 2^-53.
  virtual void sum_to(const Tensor& x, Tensor& y) = 0;
  /// y = the greatest element of x over the same axes as in sum_to: NaN if an element is NaN, -inf if there are none.
  virtual void max_to(const Tensor& x, Tensor& y) = 0;
  /// op(a) y = b for square matrices in the last two axes; leading axes broadcast. Throws Error "[solve] singular ..".
  virtual void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) = 0;
  /// y y' = (a + a') / 2 with y lower triangular, for matrices in the last two axes.
  /// Throws Error "[cholesky] not positive definite ..".
  virtual void cholesky(const Tensor& a, Tensor& y) = 0;
  /// Range of the elements of x. Waits for x, so it is for checks and not for operations.
  virtual Range range(const Tensor& x) = 0;
  /// y[o, k, i] = x[o, index[k], i]: x is (outer, rows, inner), y is (outer, index size, inner).
  virtual void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) = 0;
  /// y[o, r, i] = the sum of x[o, k, i] over all k with index[k] = r, with the error of sum_to. The order of the sum
  /// depends on the shapes and the index only.
  virtual void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) = 0;
  /// Updates the moments m and v and the parameters p in place from the gradient g. now: float64, shape (4): the rate,
  /// 1 / (1 - beta1^t), 1 / (1 - beta2^t), and the share of p that is first subtracted from p (decoupled weight decay).
  virtual void adam(const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
                    Tensor& p) = 0;
  /// y[g, k] = base[g] + the k-th random row of group g. All int64: step (1), base (groups), y (groups x draws).
  virtual void draw_rows(const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) = 0;
};

/// The CPU backend (oneTBB and Eigen). The process has one; it holds only a cache of free memory.
Backend& cpu();

/// The CUDA backend on the first GPU. Throws Error that names the missing part: a build with CUDA, a driver or a GPU.
Backend& cuda();

/// cpu() or cuda(). Errors as for cuda().
Backend& backend_of(Device device);

}  // namespace levda::autodiff
