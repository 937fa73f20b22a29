#include "tests/parity/graph.h"

#include <map>
#include <string>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "models/ldnet.h"
#include "nn/adam.h"
#include "nn/layers.h"
#include "nn/lstm.h"
#include "nn/schedule.h"

namespace levda::testing {

using namespace autodiff;
using nlohmann::json;

namespace {

Shape shape_of(const json& extents) {
  return Shape(std::span<const std::int64_t>(extents.get<std::vector<std::int64_t>>()));
}

Tensor tensor(const json& values, const Shape& shape, DType dtype) {
  return Tensor::from(std::span<const double>(values.get<std::vector<double>>()), shape, dtype);
}

int axis(const json& n) { return n.at("axis"); }
Axes axes(const json& n) { return n.at("axes"); }
Tensor index(const json& n) { return Tensor::indices(n.at("index").get<std::vector<std::int64_t>>()); }

using Apply = Var (*)(const json& n, const Vars& x);

const std::map<std::string, Apply>& operations_by_name() {
  static const std::map<std::string, Apply> all{
      {"add", [](const json&, const Vars& x) { return x[0] + x[1]; }},
      {"sub", [](const json&, const Vars& x) { return x[0] - x[1]; }},
      {"mul", [](const json&, const Vars& x) { return x[0] * x[1]; }},
      {"div", [](const json&, const Vars& x) { return x[0] / x[1]; }},
      {"neg", [](const json&, const Vars& x) { return neg(x[0]); }},
      {"sin", [](const json&, const Vars& x) { return sin(x[0]); }},
      {"cos", [](const json&, const Vars& x) { return cos(x[0]); }},
      {"exp", [](const json&, const Vars& x) { return exp(x[0]); }},
      {"sqrt", [](const json&, const Vars& x) { return sqrt(x[0]); }},
      {"square", [](const json&, const Vars& x) { return square(x[0]); }},
      {"log", [](const json&, const Vars& x) { return log(x[0]); }},
      {"pow", [](const json& n, const Vars& x) { return pow(x[0], n.at("p").get<double>()); }},
      {"abs", [](const json&, const Vars& x) { return abs(x[0]); }},
      {"sign", [](const json&, const Vars& x) { return sign(x[0]); }},
      {"sigmoid", [](const json&, const Vars& x) { return sigmoid(x[0]); }},
      {"silu", [](const json&, const Vars& x) { return silu(x[0]); }},
      {"silu_derivative", [](const json&, const Vars& x) { return silu_derivative(x[0]); }},
      {"tanh", [](const json&, const Vars& x) { return tanh(x[0]); }},
      {"relu", [](const json&, const Vars& x) { return relu(x[0]); }},
      {"gelu", [](const json&, const Vars& x) { return gelu(x[0]); }},
      {"erf", [](const json&, const Vars& x) { return erf(x[0]); }},
      {"softplus", [](const json&, const Vars& x) { return softplus(x[0]); }},
      {"maximum", [](const json&, const Vars& x) { return maximum(x[0], x[1]); }},
      {"minimum", [](const json&, const Vars& x) { return minimum(x[0], x[1]); }},
      {"greater", [](const json&, const Vars& x) { return greater(x[0], x[1]); }},
      {"where", [](const json&, const Vars& x) { return where(x[0], x[1], x[2]); }},
      {"scale", [](const json& n,
                   const Vars& x) { return scale(x[0], n.at("alpha").get<double>(), n.at("beta").get<double>()); }},
      {"matmul",
       [](const json& n, const Vars& x) {
         return matmul(x[0], x[1], n.at("transpose_a").get<bool>(), n.at("transpose_b").get<bool>());
       }},
      {"solve", [](const json& n, const Vars& x) { return solve(x[0], x[1], n.at("transpose_a").get<bool>()); }},
      {"cholesky", [](const json&, const Vars& x) { return cholesky(x[0]); }},
      {"linear", [](const json&, const Vars& x) { return linear(x[0], x[1], x[2]); }},
      {"linear_silu", [](const json&, const Vars& x) { return linear_silu(x[0], x[1], x[2]); }},
      {"sum_to", [](const json& n, const Vars& x) { return sum_to(x[0], shape_of(n.at("shape"))); }},
      {"sum",
       [](const json& n, const Vars& x) { return n.contains("axes") ? sum(x[0], axes(n), n.at("keep")) : sum(x[0]); }},
      {"mean", [](const json& n,
                  const Vars& x) { return n.contains("axes") ? mean(x[0], axes(n), n.at("keep")) : mean(x[0]); }},
      {"logsumexp", [](const json& n, const Vars& x) { return logsumexp(x[0], axes(n), n.at("keep")); }},
      {"dot", [](const json&, const Vars& x) { return dot(x[0], x[1]); }},
      {"expand", [](const json& n, const Vars& x) { return expand(x[0], shape_of(n.at("shape"))); }},
      {"reshape", [](const json& n, const Vars& x) { return reshape(x[0], shape_of(n.at("shape"))); }},
      {"concat", [](const json& n, const Vars& x) { return concat(x, axis(n)); }},
      {"stack", [](const json& n, const Vars& x) { return stack(x, axis(n)); }},
      {"transpose",
       [](const json& n, const Vars& x) {
         return n.contains("permutation") ? transpose(x[0], n.at("permutation").get<Axes>()) : transpose(x[0]);
       }},
      {"slice",
       [](const json& n, const Vars& x) {
         return slice(x[0], axis(n), n.at("begin").get<std::int64_t>(), n.at("extent").get<std::int64_t>());
       }},
      {"pad",
       [](const json& n, const Vars& x) {
         return pad(x[0], axis(n), n.at("begin").get<std::int64_t>(), n.at("extent").get<std::int64_t>());
       }},
      {"gather", [](const json& n, const Vars& x) { return gather(x[0], axis(n), index(n)); }},
      {"scatter_add",
       [](const json& n, const Vars& x) { return scatter_add(x[0], axis(n), index(n), n.at("extent")); }},
  };
  return all;
}

/// With its weights first in the list of inputs: weight and bias of each hidden layer, then of the output.
nn::Mlp residual_mlp(std::size_t depth) {
  nn::Mlp mlp{.hidden = {}, .output = {2 * depth, 2 * depth + 1}};
  for (std::size_t k = 0; k < depth; ++k) mlp.hidden.push_back({2 * k, 2 * k + 1});
  return mlp;
}

/// Kept for good: a recorded decoding_error refers to its net.
const models::Ldnet& ldnet(const json& n) {
  static std::map<std::string, models::Ldnet> nets;
  const models::LdnetArchitecture architecture{.latent = n.at("latent"),
                                               .parameters = n.at("parameters"),
                                               .channels = n.at("channels"),
                                               .fourier_features = n.at("fourier_features"),
                                               .latent_dt = n.at("latent_dt"),
                                               .dynamics_depth = n.at("dynamics_depth"),
                                               .dynamics_width = n.at("dynamics_width"),
                                               .decoder_depth = n.at("decoder_depth"),
                                               .decoder_width = n.at("decoder_width")};
  return nets.try_emplace(n.dump(), architecture, 1).first->second;
}

/// Layers: in the inputs their weights come first, in the order of their Parameters.
const std::map<std::string, Apply>& layers_by_name() {
  static const std::map<std::string, Apply> all{
      {"layer.Linear",
       [](const json&, const Vars& x) {
         return nn::Linear{0, 1}(x, x[2]);
       }},
      {"layer.ResidualMlp",
       [](const json& n, const Vars& x) { return residual_mlp(n.at("depth").get<std::size_t>())(x, x.back()); }},
      {"layer.FourierFeatures", [](const json&, const Vars& x) { return nn::FourierFeatures{0}(x, x[1]); }},
      // Further inputs: x (steps, rows, in) and, where "state", h and c. Result: all h, then the last c.
      {"layer.Lstm",
       [](const json& n, const Vars& x) {
         const Shape& shape = x[3].shape();
         Vars sequence;
         for (std::int64_t t = 0; t < shape[0]; ++t)
           sequence.push_back(reshape(slice(x[3], 0, t, 1), {shape[1], shape[2]}));
         nn::Lstm::State first;
         if (n.at("state").get<bool>()) first = {x[4], x[5]};
         const nn::Lstm::Result result = nn::Lstm{0, 1, 2}(x, sequence, first);
         Vars steps = result.h;
         steps.push_back(result.last.c);
         return stack(steps, 0);
       }},
      // Further inputs: u, s, coordinates. Result: the states of a rollout but the first, decoded at every point.
      {"layer.Ldnet",
       [](const json& n, const Vars& x) {
         const models::Ldnet& net = ldnet(n);
         const std::size_t weights = net.parameters().size();
         Vars states = net.rollout(x, x[weights], x[weights + 1], n.at("steps"));
         states.erase(states.begin());
         return net.decode_all(x, net.features(x, x[weights + 2]), concat(states, 0));
       }},
      // Further inputs: s, coordinates, fields. Result: the mean squared error.
      {"layer.decoding_error",
       [](const json& n, const Vars& x) {
         const models::Ldnet& net = ldnet(n);
         const auto weights = static_cast<std::ptrdiff_t>(net.parameters().size());
         return models::decoding_error(net, Vars(x.begin(), x.begin() + weights), x[weights], x[weights + 1],
                                       x[weights + 2], n.at("tile"));
       }},
  };
  return all;
}

Var evaluated(const json& parity_case, Vars values) {
  for (const json& n : parity_case.at("nodes")) {
    Vars in;
    for (const std::size_t i : n.at("in")) in.push_back(values.at(i));
    const std::string name = n.at("op");
    const auto& table = name.starts_with("layer.") ? layers_by_name() : operations_by_name();
    values.push_back(table.at(name)(n, in));
  }
  return values.back();
}

bool is_variable(const json& input) { return !input.value("constant", false); }

std::vector<Tensor> inputs_of(const json& parity_case, const json& draw, DType dtype) {
  std::vector<Tensor> values;
  for (std::size_t i = 0; i < parity_case.at("inputs").size(); ++i)
    values.push_back(tensor(draw.at("inputs").at(i), shape_of(parity_case["inputs"][i].at("shape")), dtype));
  return values;
}

json numbers(const Var& x) { return x.value().to_vector(); }

std::string numbered(const std::string& name, std::size_t i) { return name + " " + std::to_string(i); }

json derivatives(const json& parity_case, const json& draw, DType dtype) {
  const std::vector<Tensor> values = inputs_of(parity_case, draw, dtype);
  Tape tape;
  Vars inputs;
  Vars variables;
  Vars tangents;
  for (std::size_t i = 0; i < values.size(); ++i) {
    inputs.push_back(values[i]);
    if (!is_variable(parity_case["inputs"][i])) continue;
    inputs.back() = tape.variable(values[i]);
    tangents.emplace_back(tensor(parity_case.at("tangents").at(variables.size()), values[i].shape(), dtype));
    variables.push_back(inputs.back());
  }
  const Var y = evaluated(parity_case, inputs);
  json result{{"shape", std::vector<std::int64_t>(y.shape().begin(), y.shape().end())}, {"value", numbers(y)}};
  const Tensor cotangent = tensor(parity_case.at("cotangent"), y.shape(), dtype);
  result["jvp"] = numbers(jvp(y, variables, tangents));
  // A sweep that is not recorded takes other paths in places: both must be right.
  const Vars gradients = vjp(y, cotangent, variables);
  const Vars products = jvp(vjp(y, cotangent, variables, Graph::keep), variables, tangents);
  for (std::size_t i = 0; i < variables.size(); ++i) {
    result[numbered("vjp", i)] = numbers(gradients[i]);
    result[numbered("hvp", i)] = numbers(products[i]);
  }
  return result;
}

nn::Schedule schedule(const json& training) {
  const double rate = training.at("rate");
  const json& s = training.at("schedule");
  const std::string type = s.at("type");
  if (type == "constant") return nn::ConstantSchedule{rate};
  if (type == "step") return nn::StepSchedule{.rate = rate, .every = s.at("every"), .gamma = s.at("gamma")};
  if (type == "cosine") return nn::CosineSchedule{.rate = rate, .steps = training.at("steps"), .final = s.at("final")};
  throw Error("a schedule " + type);
}

json trained(const json& parity_case, const json& draw, DType dtype) {
  const json& training = parity_case.at("training");
  const std::vector<Tensor> values = inputs_of(parity_case, draw, dtype);
  nn::Parameters parameters;
  for (std::size_t i = 0; i < values.size(); ++i)
    parameters.add(numbered("input", i), values[i], is_variable(parity_case["inputs"][i]));
  nn::Adam adam(parameters, {.beta1 = training.at("beta1"),
                             .beta2 = training.at("beta2"),
                             .epsilon = training.at("epsilon"),
                             .weight_decay = training.at("weight_decay")});
  const nn::Schedule rate = schedule(training);
  json result{{"shape", json::array()}, {"value", json::array()}};
  for (std::int64_t step = 0; step < training.at("steps"); ++step) {
    Tape tape;
    const Vars all = parameters.on(tape);
    Vars variables;
    for (const Var& x : all)
      if (x.tracked()) variables.push_back(x);
    const Var loss = evaluated(parity_case, all);
    result["value"].push_back(loss.value().item());
    std::vector<Tensor> gradients;
    for (const Var& g : vjp(loss, Tensor::full({}, 1, dtype), variables)) gradients.push_back(g.value());
    adam.step(parameters, gradients, rate(step));
  }
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters.trainable(i)) result[numbered("parameter", k++)] = numbers(parameters[i]);
  return result;
}

}  // namespace

json answer(const json& parity_case, const json& draw, DType dtype) {
  return parity_case.contains("training") ? trained(parity_case, draw, dtype) : derivatives(parity_case, draw, dtype);
}

}  // namespace levda::testing
