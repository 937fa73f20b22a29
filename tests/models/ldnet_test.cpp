#include "models/ldnet.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numbers>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::models::decoding_error;
using levda::models::Geometry;
using levda::models::Ldnet;
using levda::models::LdnetArchitecture;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

constexpr LdnetArchitecture tiny{.latent = 2,
                                 .parameters = 1,
                                 .channels = 3,
                                 .fourier_features = 3,
                                 .fourier_scale = 0.5,
                                 .latent_dt = 0.25,
                                 .dynamics_depth = 2,
                                 .dynamics_width = 4,
                                 .decoder_depth = 3,
                                 .decoder_width = 5};

/// With biases that are not zero, so that they are seen.
Ldnet tiny_net() {
  Ldnet net(tiny, 7);
  for (std::size_t i = 0; i < net.parameters().size(); ++i)
    if (net.parameters().name(i).ends_with(".bias"))
      net.parameters().set(i, normal_tensor(net.parameters()[i].shape(), 100 + i, DType::float32));
  return net;
}

/// The network from its weights' names in plain loops on doubles.
struct Plain {
  std::map<std::string, Tensor> weights;
  explicit Plain(const Ldnet& net) {
    for (std::size_t i = 0; i < net.parameters().size(); ++i) weights[net.parameters().name(i)] = net.parameters()[i];
  }
  std::vector<double> affine(const std::string& name, const std::vector<double>& x) const {
    const std::vector<double> w = weights.at(name + ".weight").to_vector();
    std::vector<double> y = weights.at(name + ".bias").to_vector();
    REQUIRE(w.size() == x.size() * y.size());
    for (std::size_t j = 0; j < y.size(); ++j)
      for (std::size_t i = 0; i < x.size(); ++i) y[j] += x[i] * w[i * y.size() + j];
    return y;
  }
  std::vector<double> network(const std::string& name, int depth, std::vector<double> h) const {
    for (int k = 0; k < depth; ++k) {
      std::vector<double> z = affine(name + "." + std::to_string(k), h);
      for (std::size_t i = 0; i < z.size(); ++i) z[i] = z[i] / (1 + std::exp(-z[i])) + (k == 0 ? 0 : h[i]);
      h = z;
    }
    return affine(name + ".out", h);
  }
  /// F(u, s).
  std::vector<double> rate(const std::vector<double>& u, const std::vector<double>& s) const {
    std::vector<double> in = u;
    in.insert(in.end(), s.begin(), s.end());
    return network("dynamics", 2, in);
  }
  /// D(x, s).
  std::vector<double> decode(const std::vector<double>& x, const std::vector<double>& s) const {
    const std::vector<double> b = weights.at("decoder.frequencies").to_vector();
    std::vector<double> in(6);
    for (std::size_t k = 0; k < 3; ++k) {
      const double q = 2 * std::numbers::pi * (b[2 * k] * x[0] + b[2 * k + 1] * x[1]);
      in[k] = std::sin(q);
      in[3 + k] = std::cos(q);
    }
    in.insert(in.end(), s.begin(), s.end());
    return network("decoder", 3, in);
  }
};

std::vector<double> row(const Tensor& x, std::int64_t i) { return x.rows(i, i + 1).to_vector(); }

/// Half a dozen layers of sums of at most ten terms of order ten, in float64.
constexpr double tolerance = 1e-12;

}  // namespace

TEST_CASE("ldnet: the weights' names, shapes and count") {
  const Ldnet net(tiny, 7);
  std::map<std::string, Shape> shapes;
  for (std::size_t i = 0; i < net.parameters().size(); ++i)
    shapes[net.parameters().name(i)] = net.parameters()[i].shape();
  CHECK(shapes.size() == 6 + 1 + 8);
  CHECK(shapes.at("dynamics.0.weight") == Shape{3, 4});
  CHECK(shapes.at("dynamics.1.weight") == Shape{4, 4});
  CHECK(shapes.at("dynamics.out.weight") == Shape{4, 2});
  CHECK(shapes.at("decoder.frequencies") == Shape{3, 2});
  CHECK(shapes.at("decoder.0.weight") == Shape{8, 5});
  CHECK(shapes.at("decoder.2.weight") == Shape{5, 5});
  CHECK(shapes.at("decoder.out.weight") == Shape{5, 3});
  CHECK(shapes.at("decoder.out.bias") == Shape{3});
  CHECK(net.decoder_weights() == 8 * 5 + 2 * 5 * 5 + 5 * 3);
  CHECK(net.parameters().count() == (3 * 4 + 4) + (4 * 4 + 4) + (4 * 2 + 2) + 105 + 3 * 5 + 3);
  CHECK(net.architecture() == tiny);
}

TEST_CASE("ldnet: the seed decides, and one network's shape leaves the other's weights alone") {
  const Ldnet a(tiny, 7);
  const Ldnet b(tiny, 7);
  const Ldnet c(tiny, 8);
  LdnetArchitecture deeper = tiny;
  deeper.dynamics_depth = 5;
  const Ldnet d(deeper, 7);
  const auto weight = [](const Ldnet& net, const std::string& name) { return Plain(net).weights.at(name); };
  for (const char* name : {"dynamics.0.weight", "decoder.1.weight", "decoder.frequencies"}) {
    CHECK(same_bits(weight(a, name), weight(b, name)));
    CHECK_FALSE(same_bits(weight(a, name), weight(c, name)));
  }
  CHECK(same_bits(weight(a, "decoder.1.weight"), weight(d, "decoder.1.weight")));
  CHECK(same_bits(weight(a, "decoder.frequencies"), weight(d, "decoder.frequencies")));
}

TEST_CASE("ldnet: a rollout is the Euler formula, against plain loops") {
  const Ldnet net = tiny_net();
  const Plain plain(net);
  const Vars w = net.parameters().constants(DType::float64);
  const Tensor u = normal_tensor({4, 1}, 1);
  const Tensor s0 = normal_tensor({4, 2}, 2);
  const Vars states = net.rollout(w, Var(u), Var(s0), 6);
  REQUIRE(states.size() == 7);
  CHECK(same_bits(states[0].value(), s0));
  for (std::int64_t member = 0; member < 4; ++member) {
    std::vector<double> s = row(s0, member);
    for (std::size_t k = 1; k < states.size(); ++k) {
      const std::vector<double> f = plain.rate(row(u, member), s);
      for (std::size_t i = 0; i < 2; ++i) s[i] += 0.25 * f[i];
      CHECK(largest_difference(row(states[k].value(), member), s) <= tolerance);
    }
    CHECK(largest_difference(s, row(s0, member)) > 0.1);
  }
  CHECK(net.rollout(w, Var(u), Var(s0), 0).size() == 1);
}

TEST_CASE("ldnet: steps compose to a rollout, and a fraction of a step is that fraction of the way") {
  const Ldnet net = tiny_net();
  const Vars w = net.parameters().constants(DType::float64);
  const Var u(normal_tensor({4, 1}, 1));
  const Var s(normal_tensor({4, 2}, 2));
  const Vars states = net.rollout(w, u, s, 2);
  CHECK(same_bits(net.step(w, u, s).value(), states[1].value()));
  CHECK(same_bits(net.step(w, u, net.step(w, u, s, 1), 1).value(), states[2].value()));
  CHECK(same_bits(net.step(w, u, s, 0).value(), s.value()));
  const Tensor f = net.rate(w, u, s).value();
  for (const double fraction : {0.25, 0.5, 0.7, 1.0}) {
    const Tensor expected = (s + fraction * (states[1] - s)).value();
    CHECK(largest_difference(net.step(w, u, s, fraction).value(), expected) <= 1e-14);
    CHECK(largest_difference(net.step(w, u, s, fraction).value(), (s + fraction * 0.25 * Var(f)).value()) <= 1e-14);
  }
}

TEST_CASE("ldnet: the decoder is its formula, and decode_all is decode row by row") {
  const Ldnet net = tiny_net();
  const Plain plain(net);
  const Vars w = net.parameters().constants(DType::float64);
  const Tensor x = normal_tensor({5, 2}, 3);
  const Tensor s = normal_tensor({3, 2}, 4);
  const Var q = net.features(w, Var(x));
  REQUIRE(q.shape() == Shape{5, 6});
  const Tensor all = net.decode_all(w, q, Var(s)).value();
  REQUIRE(all.shape() == Shape{3, 5, 3});
  for (std::int64_t state = 0; state < 3; ++state)
    for (std::int64_t point = 0; point < 5; ++point) {
      const Tensor one = net.decode(w, Var(q.value().rows(point, point + 1)), Var(s.rows(state, state + 1))).value();
      REQUIRE(one.shape() == Shape{1, 3});
      const std::vector<double> found = all.rows(state, state + 1).reshaped({5, 3}).rows(point, point + 1).to_vector();
      CHECK(largest_difference(found, one.to_vector()) <= tolerance);
      CHECK(largest_difference(found, plain.decode(row(x, point), row(s, state))) <= tolerance);
    }
}

TEST_CASE("decoding_error: the mean squared error of plain loops, whatever the tile") {
  const Ldnet net = tiny_net();
  const Plain plain(net);
  const Tensor s = normal_tensor({7, 2}, 5);
  const Tensor x = normal_tensor({7, 4, 2}, 6);
  const Tensor y = normal_tensor({7, 4, 3}, 7);
  double expected = 0;
  for (std::int64_t group = 0; group < 7; ++group)
    for (std::int64_t point = 0; point < 4; ++point) {
      const std::vector<double> target = row(y.reshaped({28, 3}), 4 * group + point);
      const std::vector<double> found = plain.decode(row(x.reshaped({28, 2}), 4 * group + point), row(s, group));
      for (std::size_t c = 0; c < 3; ++c) expected += (found[c] - target[c]) * (found[c] - target[c]) / (7 * 4 * 3);
    }
  for (const std::int64_t tile : {1, 3, 7, 20}) {
    const double wide =
        decoding_error(net, net.parameters().constants(DType::float64), Var(s), Var(x), Var(y), tile).value().item();
    CHECK(std::abs(wide - expected) <= tolerance * expected);
    const auto narrow = [](const Tensor& t) { return Var(t.to(DType::float32)); };
    const double single =
        decoding_error(net, net.parameters().constants(), narrow(s), narrow(x), narrow(y), tile).value().item();
    CHECK(std::abs(single - expected) <= 1e-5 * expected);
  }
}

TEST_CASE("decoding_error: values that are masked out do not count, whatever they are") {
  const Ldnet net = tiny_net();
  const Vars weights = net.parameters().constants(DType::float64);
  const Tensor s = normal_tensor({7, 2}, 5);
  const Tensor x = normal_tensor({7, 4, 2}, 6);
  std::vector<double> y = normal_tensor({7, 4, 3}, 7).to_vector();
  const auto with_mask = [&](const std::vector<double>& mask) {
    return decoding_error(net, weights, Var(s), Var(x), Var(Tensor::from(std::span<const double>(y), {7, 4, 3})), 2,
                          Tensor::from(std::span<const double>(mask), {7, 4, 3}))
        .value()
        .item();
  };
  // The mean over all is the weighted mean over a part and the rest.
  std::vector<double> part(84, 0.0);
  std::vector<double> rest(84, 1.0);
  for (std::size_t i = 0; i < 84; i += 5) std::swap(part[i], rest[i]);
  const double all = with_mask(std::vector<double>(84, 1.0));
  CHECK(std::abs(all - (17 * with_mask(part) + 67 * with_mask(rest)) / 84) <= 1e-14 * all);
  const double before = with_mask(rest);
  for (std::size_t i = 0; i < 84; i += 5) y[i] = 1e6;
  CHECK(with_mask(rest) == before);
  CHECK(with_mask(std::vector<double>(84, 0.0)) == 0);
}

TEST_CASE("ldnet: a rollout with parameters of each step is made of single steps") {
  const Ldnet net = tiny_net();
  const Vars w = net.parameters().constants(DType::float64);
  const std::int64_t p = net.architecture().parameters;
  Vars u;
  for (unsigned k = 0; k < 4; ++k) u.emplace_back(normal_tensor({3, p}, 20 + k));
  const Var s0(normal_tensor({3, 2}, 30));
  const Vars states = net.rollout(w, u, s0);
  REQUIRE(states.size() == 5);
  for (std::size_t k = 0; k < 4; ++k) CHECK(same_bits(net.step(w, u[k], states[k]).value(), states[k + 1].value()));
}

TEST_CASE("decoding_error: derivatives with respect to weights, states and coordinates") {
  const Ldnet net = tiny_net();
  std::vector<Tensor> inputs;
  for (const Var& weight : net.parameters().constants(DType::float64)) inputs.push_back(weight.value());
  const std::size_t weights = inputs.size();
  inputs.push_back(normal_tensor({7, 2}, 5));
  inputs.push_back(normal_tensor({7, 4, 2}, 6));
  const Var y(normal_tensor({7, 4, 3}, 7));
  const auto error = [&](const Vars& v) {
    return decoding_error(net, Vars(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(weights)), v[weights],
                          v[weights + 1], y, 3);
  };
  const DerivativeCheck check = check_derivatives(error, inputs);
  INFO(check.text());
  CHECK(check.scale > 0);
  // The scale is one directional derivative, a sum over parts that cancel: a few digits.
  CHECK(check.adjoint_error() <= 1e-11);
  CHECK(check.finite_difference_error() <= 1e-7);
  // And each input alone, so that none hides behind the others.
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    CAPTURE(i);
    const DerivativeCheck alone = check_derivatives(
        [&](const Vars& v) {
          Vars all(inputs.begin(), inputs.end());
          all[i] = v[0];
          return error(all);
        },
        std::vector<Tensor>{inputs[i]});
    INFO(alone.text());
    const bool decoder = i >= weights || net.parameters().name(i).starts_with("decoder");
    CHECK((alone.scale > 0) == decoder);  // the dynamics do not matter here
    CHECK(alone.adjoint_error() <= 1e-11);
    CHECK(alone.finite_difference_error() <= 1e-7);
  }
}

TEST_CASE("ldnet: derivatives of a decoded rollout with respect to weights, parameters and the initial state") {
  const Ldnet net = tiny_net();
  std::vector<Tensor> inputs;
  for (const Var& weight : net.parameters().constants(DType::float64)) inputs.push_back(weight.value());
  const std::size_t weights = inputs.size();
  inputs.push_back(normal_tensor({2, 1}, 1));
  inputs.push_back(normal_tensor({2, 2}, 2));
  const Var x(normal_tensor({5, 2}, 3));
  const DerivativeCheck check = check_derivatives(
      [&](const Vars& v) {
        const Vars states = net.rollout(v, v[weights], v[weights + 1], 4);
        return net.decode_all(v, net.features(v, x), concat({states.begin() + 1, states.end()}, 0));
      },
      inputs);
  INFO(check.text());
  CHECK(check.adjoint_error() <= 1e-12);
  CHECK(check.finite_difference_error() <= 1e-7);
}

TEST_CASE("ldnet: the published networks see coordinates as they are, and have as many weights") {
  LdnetArchitecture architecture = tiny;
  architecture.fourier_features = 0;
  architecture.dynamics_layers = levda::nn::Hidden::relu;
  architecture.decoder_layers = levda::nn::Hidden::residual_relu;
  const Ldnet net(architecture, 7);
  const Plain plain(net);
  CHECK(plain.weights.count("decoder.frequencies") == 0);
  const Vars w = net.parameters().constants(DType::float64);
  const Tensor x = normal_tensor({5, 2}, 3);
  const Tensor s = normal_tensor({5, 2}, 4);
  CHECK(same_bits(net.features(w, Var(x)).value(), x));
  const Tensor y = net.decode(w, Var(x), Var(s)).value();
  const auto relu_of = [](std::vector<double> z, const std::vector<double>& skip = {}) {
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = std::max(0.0, z[i] + (skip.empty() ? 0 : skip[i]));
    return z;
  };
  for (std::int64_t i = 0; i < 5; ++i) {
    std::vector<double> in = row(x, i);
    for (const double value : row(s, i)) in.push_back(value);
    const std::vector<double> h = relu_of(plain.affine("decoder.0", in));
    const std::vector<double> block = relu_of(plain.affine("decoder.2", relu_of(plain.affine("decoder.1", h))), h);
    CHECK(largest_difference(row(y, i), plain.affine("decoder.out", block)) <= tolerance);
  }
  const Tensor u = normal_tensor({5, 1}, 5);
  const Tensor rate = net.rate(w, Var(u), Var(s)).value();
  for (std::int64_t i = 0; i < 5; ++i) {
    std::vector<double> in = row(u, i);
    for (const double value : row(s, i)) in.push_back(value);
    const std::vector<double> h = relu_of(plain.affine("dynamics.1", relu_of(plain.affine("dynamics.0", in))));
    CHECK(largest_difference(row(rate, i), plain.affine("dynamics.out", h)) <= tolerance);
  }
  // The fact sheet's counts: matrices and biases of the decoders of K, T and A.
  struct Published {
    std::int64_t latent, features, depth, width, channels;
    double millions;
  };
  for (const Published& p :
       {Published{9, 10, 14, 500, 2, 3.27}, Published{10, 0, 10, 300, 3, 0.82}, Published{50, 50, 15, 500, 3, 3.58}}) {
    LdnetArchitecture a = architecture;
    a.latent = p.latent;
    a.fourier_features = p.features;
    a.channels = p.channels;
    a.decoder_depth = p.depth;
    a.decoder_width = p.width;
    const Ldnet large(a, 1);
    const auto count = static_cast<double>(large.decoder_weights() + p.depth * p.width + p.channels);
    CHECK(std::abs(1e-6 * count - p.millions) <= 0.006);
  }
}

TEST_CASE("ldnet: without Fourier features a torus and a sphere are places in space") {
  for (const Geometry geometry : {Geometry::torus, Geometry::sphere}) {
    LdnetArchitecture architecture = tiny;
    architecture.fourier_features = 0;
    architecture.geometry = geometry;
    const Ldnet net(architecture, 7);
    const Vars w = net.parameters().constants(DType::float64);
    const auto at = [&](double x, double y) {
      return net.features(w, Var(Tensor::from(std::vector<double>{x, y}, {1, 2}))).value();
    };
    CHECK(at(0.1, 0.2).shape() == Shape{1, architecture.features()});
    CHECK(largest_difference(at(-1, 0.3), at(1, 0.3)) <= 1e-15);
    CHECK(largest_difference(at(0.1, 0.3), at(0.4, 0.3)) > 0.1);
    CHECK_NOTHROW(net.decode(w, at(0.1, 0.2), Var(normal_tensor({1, 2}, 1))));
  }
}

TEST_CASE("ldnet: frequencies that are trained have the derivatives of their formula") {
  LdnetArchitecture architecture = tiny;
  architecture.fourier_trainable = true;
  const Ldnet net(architecture, 7);
  CHECK(net.parameters().count() == Ldnet(tiny, 7).parameters().count() + 6);
  std::vector<Tensor> inputs;
  for (const Var& weight : net.parameters().constants(DType::float64)) inputs.push_back(weight.value());
  const Var s(normal_tensor({7, 2}, 5));
  const Var x(normal_tensor({7, 4, 2}, 6));
  const Var y(normal_tensor({7, 4, 3}, 7));
  const DerivativeCheck check =
      check_derivatives([&](const Vars& v) { return decoding_error(net, v, s, x, y, 3); }, inputs);
  INFO(check.text());
  CHECK(check.adjoint_error() <= 1e-11);
  CHECK(check.finite_difference_error() <= 1e-7);
}

TEST_CASE("decoding_error: many points of a group are cut into parts, and make the same sum") {
  const Ldnet net = tiny_net();
  const Vars w = net.parameters().constants(DType::float64);
  const Tensor s = normal_tensor({3, 2}, 5);
  for (const std::int64_t points : {600, 257, 521}) {  // 257 and 521 are prime: whole
    const Tensor x = normal_tensor({3, points, 2}, 6);
    const Tensor y = normal_tensor({3, points, 3}, 7);
    const Tensor found = net.decode_groups(w, Var(s), Var(x)).value();
    const double expected = mean(square(Var(found) - Var(y))).value().item();
    CHECK(std::abs(decoding_error(net, w, Var(s), Var(x), Var(y), 2).value().item() - expected) <= 1e-13 * expected);
    const Tensor mask = Tensor::full(y.shape(), 1, DType::float64);
    CHECK(std::abs(decoding_error(net, w, Var(s), Var(x), Var(y), 2, mask).value().item() - expected) <=
          1e-13 * expected);
    const auto gradient = [&](const Function& f) { return value_and_grad(f, std::vector<Tensor>{s}).gradients[0]; };
    CHECK(largest_difference(gradient([&](const Vars& v) { return decoding_error(net, w, v[0], Var(x), Var(y), 2); }),
                             gradient([&](const Vars& v) {
                               return mean(square(net.decode_groups(w, v[0], Var(x)) - Var(y)));
                             })) <= 1e-13);
  }
}

TEST_CASE("the decoder's view of coordinates is periodic on a torus, and one value at a pole of a sphere") {
  LdnetArchitecture architecture = tiny;
  architecture.fourier_features = 40;  // more than there are wave vectors of the wanted length
  architecture.geometry = Geometry::torus;
  const Ldnet torus(architecture, 7);
  const auto view = [](const Ldnet& net, std::vector<double> x) {
    const auto rows = static_cast<std::int64_t>(x.size()) / 2;
    const Vars w = net.parameters().constants(DType::float64);
    return net.features(w, Var(Tensor::from(std::span<const double>(x), {rows, 2}))).value();
  };
  // Arguments of some 100 are rounded by 100 x 2^-53, a few times.
  CHECK(largest_difference(view(torus, {-1, 0.3, 0.2, -1}), view(torus, {1, 0.3, 0.2, 1})) <= 1e-12);
  architecture.fourier_scale = 0;  // as of a file: there are wave vectors all the same
  CHECK(Ldnet(architecture, 7).parameters().size() == torus.parameters().size());
  architecture.fourier_scale = 0.5;
  architecture.geometry = Geometry::sphere;
  const Ldnet sphere(architecture, 7);
  CHECK(largest_difference(view(sphere, {-1, 0.3, 0.2, 1}), view(sphere, {1, 0.3, -0.6, 1})) <= 1e-12);
  CHECK(largest_difference(view(sphere, {0, 0.3}), view(sphere, {0.5, 0.3})) >= 0.1);
}
