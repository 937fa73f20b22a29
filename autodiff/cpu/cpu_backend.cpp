/// The CPU backend: Eigen for products and vector registers. One operation runs on one thread; parallelism lies above,
/// in tiled_sum and in independent tapes.

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "autodiff/backend.h"
#include "autodiff/cpu/memory_pool.h"
#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/scalar.h"
#include "autodiff/tensor.h"
#include "autodiff/walk.h"

namespace levda::autodiff {

namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename T>
using Vector = Eigen::Array<T, Eigen::Dynamic, 1>;

/// Calls f with a float or a double as a type tag.
template <typename F>
void dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(float{});
    case DType::float64: return f(double{});
    case DType::int64: throw Error("arithmetic on an int64 tensor");
  }
}

/// y = f(x) in blocks of registers. The rest at the end goes through a block too, so that an element's result does not
/// depend on its position.
template <typename T, typename F>
void map_blocks(const T* x, T* y, std::int64_t n, F f) {
  constexpr int width = 64 / sizeof(T);
  using Block = Eigen::Array<T, width, 1>;
  using Map = Eigen::Map<Block>;
  using ConstMap = Eigen::Map<const Block>;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    const Block in = ConstMap(x + i);
    Map(y + i) = f(in);
  }
  if (i < n) {
    Block in = Block::Zero();
    std::copy(x + i, x + n, in.data());
    const Block out = f(in);
    std::copy(out.data(), out.data() + (n - i), y + i);
  }
}

/// The same with a second result, z, which f writes through a reference.
template <typename T, typename F>
void map_blocks(const T* x, T* y, T* z, std::int64_t n, F f) {
  constexpr int width = 64 / sizeof(T);
  using Block = Eigen::Array<T, width, 1>;
  using Map = Eigen::Map<Block>;
  Block second;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    const Block in = Eigen::Map<const Block>(x + i);
    Map(y + i) = f(in, second);
    Map(z + i) = second;
  }
  if (i < n) {
    Block in = Block::Zero();
    std::copy(x + i, x + n, in.data());
    const Block out = f(in, second);
    std::copy(out.data(), out.data() + (n - i), y + i);
    std::copy(second.data(), second.data() + (n - i), z + i);
  }
}

template <typename T, typename F>
void binary_walk(const Tensor& a, const Tensor& b, Tensor& y, F f) {
  const auto sa = broadcast_strides(a.shape(), y.shape());
  const auto sb = broadcast_strides(b.shape(), y.shape());
  const auto sy = broadcast_strides(y.shape(), y.shape());
  const Walk<3> walk(y.shape(), {sa.data(), sb.data(), sy.data()});
  const std::int64_t n = walk.inner();
  const std::int64_t step_a = walk.inner_stride(0);
  const std::int64_t step_b = walk.inner_stride(1);
  walk.for_each_row([&, pa = a.data<T>(), pb = b.data<T>(), py = y.data<T>()](const auto& offset) {
    const T* ra = pa + offset[0];
    const T* rb = pb + offset[1];
    T* ry = py + offset[2];
    if (step_a == 0 && step_b == 0) {
      std::fill(ry, ry + n, f(*ra, *rb));
    } else if (step_a == 0) {
      const T value = *ra;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) ry[i] = f(value, rb[i]);
    } else if (step_b == 0) {
      const T value = *rb;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) ry[i] = f(ra[i], value);
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) ry[i] = f(ra[i], rb[i]);
    }
  });
}

/// Sum of n numbers: blocks in T, their sums in double.
template <typename T>
T sum_of(const T* x, std::int64_t n) {
  constexpr std::int64_t block = 1024;
  double total = 0;
  for (std::int64_t i = 0; i < n; i += block)
    total += static_cast<double>(Eigen::Map<const Vector<T>>(x + i, std::min(block, n - i)).sum());
  return static_cast<T>(total);
}

template <typename T>
void product(const T* a, bool transpose_a, const T* b, bool transpose_b, std::int64_t rows, std::int64_t inner,
             std::int64_t columns, T* y) {
  using Map = Eigen::Map<const Matrix<T>>;
  Eigen::Map<Matrix<T>> result(y, rows, columns);
  if (inner == 0) {
    result.setZero();
    return;
  }
  const Map ma(a, transpose_a ? inner : rows, transpose_a ? rows : inner);
  const Map mb(b, transpose_b ? columns : inner, transpose_b ? inner : columns);
  if (transpose_a && transpose_b)
    result.noalias() = ma.transpose() * mb.transpose();
  else if (transpose_a)
    result.noalias() = ma.transpose() * mb;
  else if (transpose_b)
    result.noalias() = ma * mb.transpose();
  else
    result.noalias() = ma * mb;
}

class CpuBackend final : public Backend {
 public:
  Device device() const override { return Device::cpu; }
  std::string description() const override { return "CPU"; }
  /// Enough for the threads of a large workstation; more would cost more to add up than they gain.
  std::int64_t lanes() const override { return 16; }
  void set_matmul_precision(MatmulPrecision precision) override {
    if (precision != MatmulPrecision::float32)
      throw Error(fmt::format("products in {} need a GPU", name(precision)));
  }
  void synchronise() override {}
  std::unique_ptr<Recording> record(std::function<void()> f) override {
    struct Call final : Recording {
      explicit Call(std::function<void()> function) : f(std::move(function)) {}
      void run() override { f(); }
      std::function<void()> f;
    };
    return std::make_unique<Call>(std::move(f));
  }
  void* allocate(std::size_t bytes) override { return pool_.allocate(bytes); }
  void release(void* memory, std::size_t bytes) noexcept override { pool_.release(memory, bytes); }
  MemoryUse memory() const override { return pool_.use(); }
  std::int64_t available() const override { return std::numeric_limits<std::int64_t>::max(); }
  void upload(void* to, const void* host, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, host, bytes);
  }
  void download(void* host, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(host, from, bytes);
  }

  void fill(Tensor& y, double value) override {
    dispatch(y.dtype(), [&]<typename T>(T) { std::fill_n(y.data<T>(), y.size(), static_cast<T>(value)); });
  }

  void convert(const Tensor& x, Tensor& y) override {
    if (x.dtype() == DType::float32)
      std::copy_n(x.data<float>(), x.size(), y.data<double>());
    else
      std::transform(x.data<double>(), x.data<double>() + x.size(), y.data<float>(),
                     [](double value) { return static_cast<float>(value); });
  }

  void copy(const Shape& extents, const Tensor& x, const Strided& from, Tensor& y, const Strided& to) override {
    const Walk<2> walk(extents, {from.strides.data(), to.strides.data()});
    const auto rows = [&]<typename T>(const T* px, T* py) {
      const std::int64_t n = walk.inner();
      const std::int64_t step_x = walk.inner_stride(0);
      const std::int64_t step_y = walk.inner_stride(1);
      walk.for_each_row([&](const auto& offset) {
        const T* rx = px + from.offset + offset[0];
        T* ry = py + to.offset + offset[1];
        if (step_x == 1 && step_y == 1)
          std::copy_n(rx, n, ry);
        else
          for (std::int64_t i = 0; i < n; ++i) ry[i * step_y] = rx[i * step_x];
      });
    };
    if (x.dtype() == DType::int64) return rows(x.data<std::int64_t>(), y.data<std::int64_t>());
    dispatch(x.dtype(), [&]<typename T>(T) { rows(x.data<T>(), y.data<T>()); });
  }

  void unary(Unary f, const Tensor& x, Tensor& y) override {
    dispatch(x.dtype(), [&]<typename T>(T) {
      scalar::visit(f, [&](auto function) {
        map_blocks(x.data<T>(), y.data<T>(), x.size(),
                   [](const auto& block) { return scalar::apply<decltype(function)::value>(block); });
      });
    });
  }

  void silu(const Tensor& x, Tensor& y, Tensor* derivative) override {
    dispatch(x.dtype(), [&]<typename T>(T) {
      if (derivative == nullptr)
        map_blocks(x.data<T>(), y.data<T>(), x.size(),
                   []<typename B>(const B& b) { return scalar::silu<B>(b, scalar::sigmoid(b)); });
      else
        map_blocks(x.data<T>(), y.data<T>(), derivative->data<T>(), x.size(), []<typename B>(const B& b, B& slope) {
          const B s = scalar::sigmoid(b);
          slope = scalar::silu_derivative(b, s);
          return scalar::silu(b, s);
        });
    });
  }

  void binary(Binary f, const Tensor& a, const Tensor& b, Tensor& y) override {
    dispatch(y.dtype(), [&]<typename T>(T) {
      scalar::visit(f, [&](auto function) {
        binary_walk<T>(a, b, y, [](T p, T q) { return scalar::apply<decltype(function)::value>(p, q); });
      });
    });
  }

  void scale(const Tensor& x, double alpha, double beta, Tensor& y) override {
    dispatch(x.dtype(), [&]<typename T>(T) {
      const T a = static_cast<T>(alpha);
      const T b = static_cast<T>(beta);
      const T* px = x.data<T>();
      T* py = y.data<T>();
      const std::int64_t n = x.size();
      for (std::int64_t i = 0; i < n; ++i) py[i] = a * px[i] + b;
    });
  }

  void power(const Tensor& x, double p, Tensor& y) override {
    dispatch(x.dtype(), [&]<typename T>(T) {
      std::transform(x.data<T>(), x.data<T>() + x.size(), y.data<T>(),
                     [p = static_cast<T>(p)](T value) { return std::pow(value, p); });
    });
  }

  void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) override {
    const Shape& over = y.shape();
    const auto sm = broadcast_strides(mask.shape(), over);
    const auto sa = broadcast_strides(a.shape(), over);
    const auto sb = broadcast_strides(b.shape(), over);
    const auto sy = broadcast_strides(over, over);
    const Walk<4> walk(over, {sm.data(), sa.data(), sb.data(), sy.data()});
    dispatch(y.dtype(), [&]<typename T>(T) {
      walk.for_each_row(
          [&, pm = mask.data<T>(), pa = a.data<T>(), pb = b.data<T>(), py = y.data<T>()](const auto& offset) {
            for (std::int64_t i = 0; i < walk.inner(); ++i) {
              const T& m = pm[offset[0] + i * walk.inner_stride(0)];
              py[offset[3] + i] =
                  m != 0 ? pa[offset[1] + i * walk.inner_stride(1)] : pb[offset[2] + i * walk.inner_stride(2)];
            }
          });
    });
  }

  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
              Tensor& y) override {
    dispatch(y.dtype(), [&]<typename T>(T) {
      const Shape& sa = a.shape();
      const Shape& sb = b.shape();
      const std::int64_t inner = transpose_a ? sa[-2] : sa[-1];
      const std::int64_t columns = y.shape()[-1];
      if (sb.rank() == 2 && !transpose_a) {  // all leading axes of a are rows
        product(a.data<T>(), false, b.data<T>(), transpose_b, columns == 0 ? 0 : y.size() / columns, inner, columns,
                y.data<T>());
      } else {
        const std::int64_t rows = y.shape()[-2];
        for_each_matrix(sa, sb, y.shape(), [&](std::int64_t ia, std::int64_t ib, std::int64_t iy) {
          product(a.data<T>() + ia * rows * inner, transpose_a, b.data<T>() + ib * inner * columns, transpose_b, rows,
                  inner, columns, y.data<T>() + iy * rows * columns);
        });
      }
      if (bias != nullptr && y.size() > 0) {
        Eigen::Map<Matrix<T>> result(y.data<T>(), y.size() / columns, columns);
        result.rowwise() += Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>>(bias->data<T>(), columns);
      }
    });
  }

  void sum_to(const Tensor& x, Tensor& y) override {
    fill(y, 0);
    const auto sx = broadcast_strides(x.shape(), x.shape());
    const auto sy = broadcast_strides(y.shape(), x.shape());
    const Walk<2> walk(x.shape(), {sx.data(), sy.data()});
    const std::int64_t n = walk.inner();
    dispatch(x.dtype(), [&]<typename T>(T) {
      walk.for_each_row([&, px = x.data<T>(), py = y.data<T>()](const auto& offset) {
        const T* rx = px + offset[0];
        T* ry = py + offset[1];
        if (walk.inner_stride(1) == 0) {
          *ry += sum_of(rx, n);
        } else {
#pragma GCC ivdep
          for (std::int64_t i = 0; i < n; ++i) ry[i] += rx[i];
        }
      });
    });
  }

  void max_to(const Tensor& x, Tensor& y) override {
    fill(y, -std::numeric_limits<double>::infinity());
    const auto sx = broadcast_strides(x.shape(), x.shape());
    const auto sy = broadcast_strides(y.shape(), x.shape());
    const Walk<2> walk(x.shape(), {sx.data(), sy.data()});
    dispatch(x.dtype(), [&]<typename T>(T) {
      walk.for_each_row([&, px = x.data<T>(), py = y.data<T>()](const auto& offset) {
        for (std::int64_t i = 0; i < walk.inner(); ++i) {
          const T value = px[offset[0] + i];
          T& most = py[offset[1] + i * walk.inner_stride(1)];
          if (value > most || value != value) most = value;
        }
      });
    });
  }

  void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) override {
    const std::int64_t n = a.shape()[-1];
    const std::int64_t columns = b.shape()[-1];
    dispatch(y.dtype(), [&]<typename T>(T) {
      Eigen::PartialPivLU<Matrix<T>> factors;
      std::int64_t factored = -1;
      for_each_matrix(a.shape(), b.shape(), y.shape(), [&](std::int64_t ia, std::int64_t ib, std::int64_t iy) {
        if (n == 0) return;
        if (ia != factored) factors.compute(Eigen::Map<const Matrix<T>>(a.data<T>() + ia * n * n, n, n));
        factored = ia;
        if ((factors.matrixLU().diagonal().array() == 0).any())
          throw Error(fmt::format("[solve] singular matrix in {}", a.shape().text()));
        const Eigen::Map<const Matrix<T>> right(b.data<T>() + ib * n * columns, n, columns);
        Eigen::Map<Matrix<T>> result(y.data<T>() + iy * n * columns, n, columns);
        if (transpose_a)
          result = factors.transpose().solve(right);
        else
          result = factors.solve(right);
      });
    });
  }

  void cholesky(const Tensor& a, Tensor& y) override {
    const std::int64_t n = a.shape()[-1];
    if (n == 0) return;
    dispatch(y.dtype(), [&]<typename T>(T) {
      for (std::int64_t begin = 0; begin < a.size(); begin += n * n) {
        const Eigen::Map<const Matrix<T>> whole(a.data<T>() + begin, n, n);
        const Eigen::LLT<Matrix<T>> factor(Matrix<T>(whole * T(0.5) + whole.transpose() * T(0.5)));
        if (factor.info() != Eigen::Success)
          throw Error(fmt::format("[cholesky] not positive definite: a matrix in {}", a.shape().text()));
        Eigen::Map<Matrix<T>>(y.data<T>() + begin, n, n) = factor.matrixL();
      }
    });
  }

  Range range(const Tensor& x) override {
    Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    dispatch(x.dtype(), [&]<typename T>(T) {
      const T* values = x.data<T>();
      for (std::int64_t i = 0; i < x.size(); ++i) {
        if (!std::isfinite(values[i])) {
          ++range.nonfinite;
          continue;
        }
        range.least = std::min(range.least, static_cast<double>(values[i]));
        range.greatest = std::max(range.greatest, static_cast<double>(values[i]));
      }
    });
    return range;
  }

  void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    for_each_index(
        "gather", x.shape(), y.shape(), index, axis,
        [&]<typename T>(T, auto from, auto to, auto inner) {
          std::copy_n(x.data<T>() + from, inner, y.data<T>() + to);
        },
        x.dtype());
  }

  void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    fill(y, 0);
    for_each_index(
        "scatter_add", y.shape(), x.shape(), index, axis,
        [&]<typename T>(T, auto to, auto from, auto inner) {
          const T* px = x.data<T>() + from;
          T* py = y.data<T>() + to;
#pragma GCC ivdep
          for (std::int64_t i = 0; i < inner; ++i) py[i] += px[i];
        },
        x.dtype());
  }

  void adam(const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
            Tensor& p) override {
    const double* const at = now.data<double>();
    dispatch(p.dtype(), [&]<typename T>(T) {
      const T b1 = static_cast<T>(constants.beta1);
      const T b2 = static_cast<T>(constants.beta2);
      // In double: in float32 1 - 0.999 would be off by a hundred thousandth, which goes into every step.
      const T fresh1 = static_cast<T>(1 - constants.beta1);
      const T fresh2 = static_cast<T>(1 - constants.beta2);
      const T rate = static_cast<T>(at[0] * at[1]);
      const T correction2 = static_cast<T>(at[2]);
      const T decay = static_cast<T>(at[3]);
      const T epsilon = static_cast<T>(constants.epsilon);
      const Eigen::Map<const Vector<T>> grad(g.data<T>(), g.size());
      Eigen::Map<Vector<T>> first(m.data<T>(), m.size());
      Eigen::Map<Vector<T>> second(v.data<T>(), v.size());
      Eigen::Map<Vector<T>> parameter(p.data<T>(), p.size());
      // Not a product with 1 - decay: float32 would round the share to a few digits.
      if (decay != 0) parameter -= decay * parameter;
      first = b1 * first + fresh1 * grad;
      second = b2 * second + fresh2 * grad.square();
      parameter -= rate * first / ((second * correction2).sqrt() + epsilon);
    });
  }

  void draw_rows(const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) override {
    const std::int64_t groups = base.size();
    const std::int64_t draws = groups == 0 ? 0 : y.size() / groups;
    const auto now = static_cast<std::uint32_t>(*step.data<std::int64_t>());
    std::int64_t* out = y.data<std::int64_t>();
    for (std::int64_t g = 0; g < groups; ++g) {
      Random random(rows.seed, rows.stream + static_cast<std::uint32_t>(g), now);
      for (std::int64_t k = 0; k < draws; ++k) *out++ = base.data<std::int64_t>()[g] + random.below(rows.choices);
    }
  }

 private:
  /// f(type tag, offset in `indexed`, offset in `dense`, inner extent) for every (outer, k), k in order.
  template <typename F>
  static void for_each_index(const char* op, const Shape& indexed, const Shape& dense, const Tensor& index, int axis,
                             F&& f, DType dtype) {
    const int position = indexed.position(axis);
    const std::int64_t outer = indexed.size(0, position);
    const std::int64_t inner = indexed.size(position + 1, indexed.rank());
    const std::int64_t rows = indexed[position];
    const std::int64_t count = dense[position];
    const std::int64_t* k = index.data<std::int64_t>();
    for (std::int64_t i = 0; i < count; ++i)
      if (k[i] < 0 || k[i] >= rows) throw Error(fmt::format("[{}] index {} of {} rows", op, k[i], rows));
    dispatch(dtype, [&]<typename T>(T tag) {
      for (std::int64_t o = 0; o < outer; ++o)
        for (std::int64_t i = 0; i < count; ++i) f(tag, (o * rows + k[i]) * inner, (o * count + i) * inner, inner);
    });
  }

  MemoryPool pool_;
};

}  // namespace

Backend& cpu() {
  // Never destroyed, so that tensors of static storage duration may outlive main.
  static CpuBackend* const backend = new CpuBackend;
  return *backend;
}

}  // namespace levda::autodiff
