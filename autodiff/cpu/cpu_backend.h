#pragma once

/// The CPU backend: Eigen for products and vector registers. One operation runs on one thread; tiled_sum and
/// independent tapes run in parallel. The functions are in several files, so that they compile in parallel.

#include <fmt/format.h>

#include <cstring>
#include <limits>

#include "autodiff/backend.h"
#include "autodiff/cpu/memory_pool.h"
#include "autodiff/error.h"

namespace levda::autodiff {

/// Calls f with a float or a double as a type tag.
template <typename F>
void dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(float{});
    case DType::float64: return f(double{});
    case DType::int64: throw Error("arithmetic on an int64 tensor");
  }
}

/// Throws Error "[op] index .." when an index is outside 0 .. rows - 1.
void check_indices(const char* op, const Tensor& index, std::int64_t rows);

class CpuBackend final : public Backend {
 public:
  Device device() const override { return Device::cpu; }
  std::string description() const override { return "CPU"; }
  /// Enough for the threads of a large workstation. With more, adding up the partial sums costs more than is gained.
  std::int64_t lanes() const override { return 16; }
  void set_matmul_precision(MatmulPrecision precision) override {
    if (precision != MatmulPrecision::float32) throw Error(fmt::format("products in {} need a GPU", name(precision)));
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
  std::size_t footprint(std::size_t bytes) const override { return MemoryPool::rounded(bytes); }
  MemoryUse memory() const override { return pool_.use(); }
  void release_cache() override { pool_.release_cache(); }
  std::int64_t available() const override { return std::numeric_limits<std::int64_t>::max(); }
  void upload(void* to, const void* host, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, host, bytes);
  }
  void download(void* host, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(host, from, bytes);
  }

  void fill(Tensor& y, double value) override;
  void convert(const Tensor& x, Tensor& y) override;
  void copy(const Shape& extents, const Tensor& x, const Strided& from, Tensor& y, const Strided& to) override;
  void unary(Unary f, const Tensor& x, Tensor& y) override;
  void silu(const Tensor& x, Tensor& y, Tensor* derivative) override;
  void binary(Binary f, const Tensor& a, const Tensor& b, Tensor& y) override;
  void scale(const Tensor& x, double alpha, double beta, Tensor& y) override;
  void power(const Tensor& x, double p, Tensor& y) override;
  void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) override;
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
              Tensor& y) override;
  void sum_to(const Tensor& x, Tensor& y) override;
  void max_to(const Tensor& x, Tensor& y) override;
  void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) override;
  void cholesky(const Tensor& a, Tensor& y) override;
  Range range(const Tensor& x) override;
  void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) override;
  void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) override;
  void adam(const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
            Tensor& p) override;
  void draw_rows(const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) override;

 private:
  MemoryPool pool_;
};

}  // namespace levda::autodiff
