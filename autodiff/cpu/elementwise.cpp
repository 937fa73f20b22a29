/// Functions of one variable, in blocks of vector registers.

#include <Eigen/Core>
#include <algorithm>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/scalar.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

/// y = f(x) in blocks of registers. The elements after the last full block go through a block too, so that the result
/// of an element does not depend on its position.
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

/// y = f(x, z) with a second result z, which f writes through a reference.
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

}  // namespace

void CpuBackend::unary(Unary f, const Tensor& x, Tensor& y) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    scalar::visit(f, [&](auto function) {
      map_blocks(x.data<T>(), y.data<T>(), x.size(),
                 [](const auto& block) { return scalar::apply<decltype(function)::value>(block); });
    });
  });
}

void CpuBackend::silu(const Tensor& x, Tensor& y, Tensor* derivative) {
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

}  // namespace levda::autodiff
