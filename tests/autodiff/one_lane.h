#pragma once

/// A device with one lane (Backend::lanes) for tests: the CUDA backend if there is one, else the arithmetic of the CPU
/// under another name, which refuses tensors of other devices and counts its operations.

#include <atomic>
#include <limits>

#include "autodiff/error.h"
#include "autodiff/tensor.h"

namespace levda::testing {

class OneLane final : public autodiff::Backend {
 public:
  using Tensor = autodiff::Tensor;

  std::atomic<std::int64_t> starts{0};     ///< of operations
  std::atomic<std::int64_t> matmuls{0};    ///< products among them
  std::atomic<std::int64_t> downloads{0};  ///< and other waits for the device
  std::atomic<std::int64_t> bytes{0};      ///< in blocks that are handed out

  autodiff::Device device() const override { return autodiff::Device::cuda; }
  std::string description() const override { return "one lane of the CPU"; }
  std::int64_t lanes() const override { return 1; }
  void set_matmul_precision(autodiff::MatmulPrecision precision) override { on_.set_matmul_precision(precision); }
  void synchronise() override { ++downloads; }
  std::unique_ptr<autodiff::Recording> record(std::function<void()> f) override { return on_.record(std::move(f)); }
  void* allocate(std::size_t size) override {
    bytes += static_cast<std::int64_t>(size);
    return on_.allocate(size);
  }
  void release(void* memory, std::size_t size) noexcept override {
    bytes -= static_cast<std::int64_t>(size);
    on_.release(memory, size);
  }
  autodiff::MemoryUse memory() const override { return on_.memory(); }
  std::int64_t available() const override { return on_.available(); }
  void upload(void* to, const void* host, std::size_t size) override { on_.upload(to, host, size); }
  void download(void* host, const void* from, std::size_t size) override {
    ++downloads;
    on_.download(host, from, size);
  }

  void fill(Tensor& y, double value) override { own(y), on_.fill(y, value); }
  void convert(const Tensor& x, Tensor& y) override { own(x, y), on_.convert(x, y); }
  void copy(const autodiff::Shape& extents, const Tensor& x, const autodiff::Strided& from, Tensor& y,
            const autodiff::Strided& to) override {
    own(x, y), on_.copy(extents, x, from, y, to);
  }
  void unary(autodiff::Unary f, const Tensor& x, Tensor& y) override { own(x, y), on_.unary(f, x, y); }
  void silu(const Tensor& x, Tensor& y, Tensor* derivative) override { own(x, y), on_.silu(x, y, derivative); }
  void binary(autodiff::Binary f, const Tensor& a, const Tensor& b, Tensor& y) override {
    own(a, b, y), on_.binary(f, a, b, y);
  }
  void scale(const Tensor& x, double alpha, double beta, Tensor& y) override {
    own(x, y), on_.scale(x, alpha, beta, y);
  }
  void power(const Tensor& x, double p, Tensor& y) override { own(x, y), on_.power(x, p, y); }
  void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) override {
    own(mask, a, b, y), on_.select(mask, a, b, y);
  }
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
              Tensor& y) override {
    ++matmuls;
    own(a, b, bias == nullptr ? a : *bias, y), on_.matmul(a, transpose_a, b, transpose_b, bias, y);
  }
  void sum_to(const Tensor& x, Tensor& y) override { own(x, y), on_.sum_to(x, y); }
  void max_to(const Tensor& x, Tensor& y) override { own(x, y), on_.max_to(x, y); }
  void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) override {
    own(a, b, y), on_.solve(a, transpose_a, b, y);
  }
  void cholesky(const Tensor& a, Tensor& y) override { own(a, y), on_.cholesky(a, y); }
  autodiff::Range range(const Tensor& x) override { return ++downloads, own(x), on_.range(x); }
  void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    own(x, index, y), on_.gather(x, index, axis, y);
  }
  void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    own(x, index, y), on_.scatter_add(x, index, axis, y);
  }
  void adam(const autodiff::AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
            Tensor& p) override {
    own(now, g, m, v, p), on_.adam(constants, now, g, m, v, p);
  }
  void draw_rows(const autodiff::RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) override {
    own(step, base, y), on_.draw_rows(rows, step, base, y);
  }

 private:
  template <typename... Tensors>
  void own(const Tensors&... tensors) {
    ++starts;
    if (((&tensors.backend() != this) || ...)) throw Error("a tensor of another device");
  }

  autodiff::Backend& on_ = autodiff::cpu();
};

inline autodiff::Backend& one_lane() {
  static OneLane in_name_only;
  try {
    return autodiff::cuda();
  } catch (const Error&) {
    return in_name_only;
  }
}

}  // namespace levda::testing
