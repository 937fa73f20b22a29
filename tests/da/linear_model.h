#pragma once

/// A linear forward model, for which everything is known in closed form.

#include <Eigen/Dense>

#include "autodiff/random.h"
#include "da/forward_model.h"

namespace levda::da {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

inline autodiff::Tensor tensor_of(const Matrix& x) {
  return autodiff::Tensor::from(std::span<const double>(x.data(), static_cast<std::size_t>(x.size())),
                                {x.rows(), x.cols()});
}

inline Matrix matrix_of(const autodiff::Tensor& x) {
  const std::vector<double> values = x.to_vector();
  const std::int64_t columns = x.shape()[-1];
  return Eigen::Map<const Matrix>(values.data(), x.size() / columns, columns);
}

inline Matrix random_matrix(std::int64_t rows, std::int64_t columns, autodiff::Random& random) {
  Matrix x(rows, columns);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = random.normal();
  return x;
}

/// v_{t+1} = M v_t, one step per unit of time; channel c of an observation is row c of H.
class LinearModel final : public ForwardModel {
 public:
  LinearModel(Matrix step, Matrix observation) : step_(std::move(step)), observation_(std::move(observation)) {}

  std::int64_t controls() const override { return step_.rows(); }
  Matrix power(std::int64_t steps) const {
    Matrix result = Matrix::Identity(step_.rows(), step_.rows());
    for (; steps > 0; --steps) result = step_ * result;
    return result;
  }
  /// G of some observations: (m, n).
  Matrix matrix(const Observations& o) const {
    Matrix g(o.size(), step_.rows());
    for (std::int64_t i = 0; i < o.size(); ++i)
      g.row(i) = observation_.row(o.channel[i]) * power(static_cast<std::int64_t>(std::llround(o.time[i])));
    return g;
  }
  autodiff::Var advance(const autodiff::Var& v, double duration) const override {
    return matmul(v, autodiff::Var(tensor_of(power(std::llround(duration)))), false, true);
  }
  std::unique_ptr<ObservationOperator> observe(const Observations& o) const override {
    class Operator final : public ObservationOperator {
     public:
      explicit Operator(Matrix g) : g_(std::move(g)) {}
      std::int64_t size() const override { return g_.rows(); }
      autodiff::Var operator()(const autodiff::Var& v) const override {
        return matmul(v, autodiff::Var(tensor_of(g_).to(v.dtype())), false, true);
      }

     private:
      Matrix g_;
    };
    return std::make_unique<Operator>(matrix(o));
  }

 private:
  Matrix step_;
  Matrix observation_;
};

}  // namespace levda::da
