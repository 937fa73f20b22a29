/// Functions applied to every element.

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "autodiff/cuda/kernel_tools.h"
#include "autodiff/internal/scalar.h"

namespace levda::autodiff::gpu {

namespace {

/// 16 bytes of numbers, which a thread moves at once if addresses and count allow it.
template <typename T>
struct alignas(16) Pack {
  static constexpr int width = 16 / sizeof(T);
  T values[width];
};

template <typename T>
bool packable(std::int64_t n, std::initializer_list<const T*> pointers) {
  return n % Pack<T>::width == 0 && std::all_of(pointers.begin(), pointers.end(), [](const T* p) {
           return reinterpret_cast<std::uintptr_t>(p) % alignof(Pack<T>) == 0;
         });
}

template <typename T>
__global__ void fill_kernel(T* y, T value, std::int64_t n) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) y[i] = value;
}

template <typename From, typename To>
__global__ void convert_kernel(const From* x, To* y, std::int64_t n) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) y[i] = static_cast<To>(x[i]);
}

/// y = f(x) element by element, x and y arrays of V, a number or a Pack.
template <typename V, typename F>
__global__ void map_kernel(const V* x, V* y, std::int64_t n, F f) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    if constexpr (requires(V v) { v.values; }) {
      V out = x[i];
      for (auto& value : out.values) value = f(value);
      y[i] = out;
    } else {
      y[i] = f(x[i]);
    }
  }
}

template <typename T, typename F>
void map(const char* operation, const Context& context, const Tensor& x, Tensor& y, F f) {
  const T* px = x.data<T>();
  T* py = y.data<T>();
  const std::int64_t n = x.size();
  if (packable<T>(n, {px, py}))
    for_each(operation, context, n / Pack<T>::width, map_kernel<Pack<T>, F>, reinterpret_cast<const Pack<T>*>(px),
             reinterpret_cast<Pack<T>*>(py), n / Pack<T>::width, f);
  else
    for_each(operation, context, n, map_kernel<T, F>, px, py, n, f);
}

template <Unary f, typename T>
struct Apply {
  __device__ T operator()(T x) const { return scalar::apply<f>(x); }
};

template <typename T>
struct ScaleBy {
  T alpha, beta;
  __device__ T operator()(T x) const { return alpha * x + beta; }
};

template <typename T>
struct PowerOf {
  T p;
  __device__ T operator()(T x) const { return pow(x, p); }
};

template <typename T>
struct Silu {
  __device__ T operator()(T x) const { return scalar::silu(x, scalar::Logistic<T>(x)); }
};

template <typename V>
__global__ void silu_kernel(const V* x, V* y, V* derivative, std::int64_t n) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    if constexpr (requires(V v) { v.values; }) {
      const V in = x[i];
      V out;
      V slope;
      for (int k = 0; k < V::width; ++k) {
        const scalar::Logistic at(in.values[k]);
        out.values[k] = scalar::silu(in.values[k], at);
        slope.values[k] = scalar::silu_derivative(in.values[k], at);
      }
      y[i] = out;
      derivative[i] = slope;
    } else {
      const V in = x[i];
      const scalar::Logistic<V> at(in);
      y[i] = scalar::silu(in, at);
      derivative[i] = scalar::silu_derivative(in, at);
    }
  }
}

/// Operands with the layout of the result (step 1), or one number (step 0).
template <Binary f, typename T>
__global__ void binary_kernel(const T* a, std::int64_t step_a, const T* b, std::int64_t step_b, T* y, std::int64_t n) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once())
    y[i] = scalar::apply<f>(a[i * step_a], b[i * step_b]);
}

template <Binary f, typename V>
__global__ void binary_pack_kernel(const V* a, const V* b, V* y, std::int64_t n) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    V out = a[i];
    const V right = b[i];
    for (int k = 0; k < V::width; ++k) out.values[k] = scalar::apply<f>(out.values[k], right.values[k]);
    y[i] = out;
  }
}

template <Binary f, typename T>
__global__ void broadcast_kernel(const T* a, const T* b, T* y, FlatWalk<3> walk) {
  for (std::int64_t i = first_element(); i < walk.size; i += elements_at_once()) {
    std::int64_t at[3];
    walk.locate(i, at);
    y[at[2]] = scalar::apply<f>(a[at[0]], b[at[1]]);
  }
}

template <typename T>
__global__ void select_kernel(const T* mask, const T* a, const T* b, T* y, FlatWalk<4> walk) {
  for (std::int64_t i = first_element(); i < walk.size; i += elements_at_once()) {
    std::int64_t at[4];
    walk.locate(i, at);
    y[at[3]] = mask[at[0]] != 0 ? a[at[1]] : b[at[2]];
  }
}

/// The constants of Adam in the type of the parameters. The numbers of the step are on the device.
template <typename T>
struct AdamNumbers {
  T beta1, beta2, fresh1, fresh2, epsilon;
};

template <typename T>
__global__ void adam_kernel(AdamNumbers<T> c, const double* now, const T* g, T* m, T* v, T* p, std::int64_t n) {
  const T rate = static_cast<T>(now[0] * now[1]);
  const T correction2 = static_cast<T>(now[2]);
  const T decay = static_cast<T>(now[3]);
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    const T parameter = p[i] - decay * p[i];
    m[i] = c.beta1 * m[i] + c.fresh1 * g[i];
    v[i] = c.beta2 * v[i] + c.fresh2 * g[i] * g[i];
    p[i] = parameter - rate * m[i] / (sqrt(v[i] * correction2) + c.epsilon);
  }
}

}  // namespace

void fill(const Context& context, Tensor& y, double value) {
  dispatch(y.dtype(), [&]<typename T>(T) {
    for_each("fill", context, y.size(), fill_kernel<T>, y.data<T>(), static_cast<T>(value), y.size());
  });
}

void convert(const Context& context, const Tensor& x, Tensor& y) {
  if (x.dtype() == DType::float32)
    for_each("convert", context, x.size(), convert_kernel<float, double>, x.data<float>(), y.data<double>(), x.size());
  else
    for_each("convert", context, x.size(), convert_kernel<double, float>, x.data<double>(), y.data<float>(), x.size());
}

void unary(const Context& context, Unary f, const Tensor& x, Tensor& y) {
  scalar::visit(f, [&](auto function) {
    dispatch(x.dtype(), [&]<typename T>(T) { map<T>("unary", context, x, y, Apply<decltype(function)::value, T>()); });
  });
}

void silu(const Context& context, const Tensor& x, Tensor& y, Tensor* derivative) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    if (derivative == nullptr) return map<T>("silu", context, x, y, Silu<T>());
    const T* px = x.data<T>();
    T* py = y.data<T>();
    T* pd = derivative->data<T>();
    const std::int64_t n = x.size();
    using P = Pack<T>;
    if (packable<T>(n, {px, py, pd}))
      for_each("silu", context, n / P::width, silu_kernel<P>, reinterpret_cast<const P*>(px), reinterpret_cast<P*>(py),
               reinterpret_cast<P*>(pd), n / P::width);
    else
      for_each("silu", context, n, silu_kernel<T>, px, py, pd, n);
  });
}

void binary(const Context& context, Binary f, const Tensor& a, const Tensor& b, Tensor& y) {
  const Walk<3> walk = broadcast_walk(y.shape(), a.shape(), b.shape(), y.shape());
  const std::int64_t n = y.size();
  scalar::visit(f, [&](auto function) {
    constexpr Binary which = decltype(function)::value;
    dispatch(y.dtype(), [&]<typename T>(T) {
      const T* pa = a.data<T>();
      const T* pb = b.data<T>();
      T* py = y.data<T>();
      using P = Pack<T>;
      if (walk.rank > 1)
        for_each("binary", context, n, broadcast_kernel<which, T>, pa, pb, py, FlatWalk<3>(walk));
      else if (walk.inner_stride(0) == 1 && walk.inner_stride(1) == 1 && packable<T>(n, {pa, pb, py}))
        for_each("binary", context, n / P::width, binary_pack_kernel<which, P>, reinterpret_cast<const P*>(pa),
                 reinterpret_cast<const P*>(pb), reinterpret_cast<P*>(py), n / P::width);
      else
        for_each("binary", context, n, binary_kernel<which, T>, pa, walk.inner_stride(0), pb, walk.inner_stride(1), py,
                 n);
    });
  });
}

void scale(const Context& context, const Tensor& x, double alpha, double beta, Tensor& y) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    map<T>("scale", context, x, y, ScaleBy<T>{static_cast<T>(alpha), static_cast<T>(beta)});
  });
}

void power(const Context& context, const Tensor& x, double p, Tensor& y) {
  dispatch(x.dtype(), [&]<typename T>(T) { map<T>("pow", context, x, y, PowerOf<T>{static_cast<T>(p)}); });
}

void select(const Context& context, const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) {
  const Walk<4> walk = broadcast_walk(y.shape(), mask.shape(), a.shape(), b.shape(), y.shape());
  dispatch(y.dtype(), [&]<typename T>(T) {
    for_each("where", context, y.size(), select_kernel<T>, mask.data<T>(), a.data<T>(), b.data<T>(), y.data<T>(),
             FlatWalk<4>(walk));
  });
}

void adam(const Context& context, const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m,
          Tensor& v, Tensor& p) {
  dispatch(p.dtype(), [&]<typename T>(T) {
    // 1 - beta in double, as on the CPU.
    const AdamNumbers<T> numbers{.beta1 = static_cast<T>(constants.beta1),
                                 .beta2 = static_cast<T>(constants.beta2),
                                 .fresh1 = static_cast<T>(1 - constants.beta1),
                                 .fresh2 = static_cast<T>(1 - constants.beta2),
                                 .epsilon = static_cast<T>(constants.epsilon)};
    for_each("adam", context, p.size(), adam_kernel<T>, numbers, now.data<double>(), g.data<T>(), m.data<T>(),
             v.data<T>(), p.data<T>(), p.size());
  });
}

}  // namespace levda::autodiff::gpu
