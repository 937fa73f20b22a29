#pragma once

/// The CPU backend in the part of a device with one lane: counts what it is told to do, and the bytes that are held.

#include "autodiff/backend.h"
#include "autodiff/tensor.h"

namespace levda::testing {

class CountingBackend final : public autodiff::Backend {
  using Tensor = autodiff::Tensor;
  using Shape = autodiff::Shape;

 public:
  std::int64_t matmuls = 0;
  std::int64_t starts = 0;     ///< operations, products among them
  std::int64_t downloads = 0;  ///< and other waits for the device
  std::int64_t bytes = 0;      ///< in blocks that are handed out

  autodiff::Device device() const override { return inner_.device(); }
  std::string description() const override { return inner_.description(); }
  std::int64_t lanes() const override { return 1; }
  void set_matmul_precision(autodiff::MatmulPrecision precision) override { inner_.set_matmul_precision(precision); }
  void synchronise() override { ++downloads; }
  std::unique_ptr<autodiff::Recording> record(std::function<void()> f) override { return inner_.record(std::move(f)); }
  void* allocate(std::size_t size) override {
    bytes += static_cast<std::int64_t>(size);
    return inner_.allocate(size);
  }
  void release(void* memory, std::size_t size) noexcept override {
    bytes -= static_cast<std::int64_t>(size);
    inner_.release(memory, size);
  }
  autodiff::MemoryUse memory() const override { return inner_.memory(); }
  std::int64_t available() const override { return inner_.available(); }
  void upload(void* to, const void* host, std::size_t size) override { inner_.upload(to, host, size); }
  void download(void* host, const void* from, std::size_t size) override {
    ++downloads;
    inner_.download(host, from, size);
  }

  void fill(Tensor& y, double value) override { started().fill(y, value); }
  void convert(const Tensor& x, Tensor& y) override { started().convert(x, y); }
  void copy(const Shape& extents, const Tensor& x, const autodiff::Strided& from, Tensor& y,
            const autodiff::Strided& to) override {
    started().copy(extents, x, from, y, to);
  }
  void unary(autodiff::Unary f, const Tensor& x, Tensor& y) override { started().unary(f, x, y); }
  void silu(const Tensor& x, Tensor& y, Tensor* derivative) override { started().silu(x, y, derivative); }
  void binary(autodiff::Binary f, const Tensor& a, const Tensor& b, Tensor& y) override {
    started().binary(f, a, b, y);
  }
  void scale(const Tensor& x, double alpha, double beta, Tensor& y) override { started().scale(x, alpha, beta, y); }
  void power(const Tensor& x, double p, Tensor& y) override { started().power(x, p, y); }
  void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) override {
    started().select(mask, a, b, y);
  }
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
              Tensor& y) override {
    ++matmuls;
    started().matmul(a, transpose_a, b, transpose_b, bias, y);
  }
  void sum_to(const Tensor& x, Tensor& y) override { started().sum_to(x, y); }
  void max_to(const Tensor& x, Tensor& y) override { started().max_to(x, y); }
  void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) override {
    started().solve(a, transpose_a, b, y);
  }
  void cholesky(const Tensor& a, Tensor& y) override { started().cholesky(a, y); }
  autodiff::Range range(const Tensor& x) override {
    ++downloads;
    return started().range(x);
  }
  void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    started().gather(x, index, axis, y);
  }
  void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    started().scatter_add(x, index, axis, y);
  }
  void adam(const autodiff::AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
            Tensor& p) override {
    started().adam(constants, now, g, m, v, p);
  }
  void draw_rows(const autodiff::RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) override {
    started().draw_rows(rows, step, base, y);
  }

 private:
  autodiff::Backend& started() {
    ++starts;
    return inner_;
  }
  autodiff::Backend& inner_ = autodiff::cpu();
};

}  // namespace levda::testing
