#include "models/encoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "autodiff/error.h"
#include "models/weights_file.h"

namespace levda::models {

using autodiff::DType;
using autodiff::Inputs;
using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

ObservationEncoder::ObservationEncoder(const EncoderArchitecture& a, std::uint64_t seed) : architecture_(a) {
  autodiff::Random random(seed);
  lstm_ = nn::Lstm::make(parameters_, "lstm", a.observed, a.hidden, random);
  output_ = nn::Linear::make(parameters_, "output", a.hidden, a.outputs(), random);
  mean_ = parameters_.add("target.mean", Tensor::zeros({a.outputs()}), false);
  deviation_ = parameters_.add("target.deviation", Tensor::full({a.outputs()}, 1), false);
}

void ObservationEncoder::set_targets(const std::vector<double>& mean, const std::vector<double>& deviation) {
  const Shape shape{architecture_.outputs()};
  parameters_.set(mean_, Tensor::from(std::span<const double>(mean), shape, DType::float32));
  parameters_.set(deviation_, Tensor::from(std::span<const double>(deviation), shape, DType::float32));
}

Var ObservationEncoder::step(Inputs w, const Var& observed, State& state) const {
  state = lstm_.step(w, observed, state);
  return w[mean_] + w[deviation_] * output_(w, state.h);
}

Var ObservationEncoder::encode(Inputs w, const Var& observed) const {
  const Shape& shape = observed.shape();
  if (shape.rank() != 3 || shape[2] != architecture_.observed)
    throw Error(
        fmt::format("observations {}, where (times, rows, {}) is needed", shape.text(), architecture_.observed));
  State state;
  Vars outputs;
  for (std::int64_t t = 0; t < shape[0]; ++t)
    outputs.push_back(step(w, reshape(slice(observed, 0, t, 1), {shape[1], shape[2]}), state));
  return stack(outputs, 0);
}

Var ObservationEncoder::squared_error(Inputs w, const Var& observed, const Var& target) const {
  return sum(square((encode(w, observed) - target) / w[deviation_]));
}

std::vector<std::int64_t> SensorGrid::cells(const Grid& grid) const {
  std::vector<std::int64_t> cells;
  for (std::int64_t j = 0; j < ny; ++j)
    for (std::int64_t i = 0; i < nx; ++i) cells.push_back(j * grid.ny / ny * grid.nx + i * grid.nx / nx);
  return cells;
}

std::vector<double> TrainedEncoder::normal_observations(std::span<const double> physical) const {
  std::vector<double> normal(physical.begin(), physical.end());
  const std::size_t c = field_mean.size();
  for (std::size_t i = 0; i < normal.size(); ++i) normal[i] = (normal[i] - field_mean[i % c]) / field_std[i % c];
  return normal;
}

namespace {

constexpr const char* format_name = "levda-encoder-1";

Tensor vector_tensor(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())});
}

}  // namespace

void save_encoder(const std::filesystem::path& path, const TrainedEncoder& encoder) {
  for (const std::string& name : encoder.channel_names)
    if (name.find(',') != std::string::npos)
      throw InputError(path.string(), "channel_names", fmt::format("\"{}\" holds a comma", name));
  const EncoderArchitecture& a = encoder.net.architecture();
  nn::TensorFile file;
  file.metadata = {{"format", format_name},
                   {"sensors_x", fmt::format("{}", encoder.sensors.nx)},
                   {"sensors_y", fmt::format("{}", encoder.sensors.ny)},
                   {"channel_names", fmt::format("{}", fmt::join(encoder.channel_names, ","))},
                   {"hidden", fmt::format("{}", a.hidden)},
                   {"latent", fmt::format("{}", a.latent)},
                   {"parameters", fmt::format("{}", a.parameters)},
                   {"surrogate", encoder.surrogate}};
  file.metadata.insert(encoder.provenance.begin(), encoder.provenance.end());
  for (std::size_t i = 0; i < encoder.net.parameters().size(); ++i)
    file.tensors[encoder.net.parameters().name(i)] = encoder.net.parameters()[i];
  file.tensors["normalisation.field_mean"] = vector_tensor(encoder.field_mean);
  file.tensors["normalisation.field_std"] = vector_tensor(encoder.field_std);
  nn::write_safetensors(path, file);
}

TrainedEncoder load_encoder(const std::filesystem::path& path) {
  const nn::TensorFile file = nn::read_safetensors(path);
  const Metadata m(path, file.metadata);
  const auto format = file.metadata.find("format");
  if (format == file.metadata.end() || format->second != format_name)
    throw InputError(path.string(), "format", fmt::format("not an encoder of levda (\"{}\" expected)", format_name));
  constexpr std::int64_t most_sensors = 1 << 12;
  const SensorGrid sensors{.nx = m.positive("sensors_x", most_sensors), .ny = m.positive("sensors_y", most_sensors)};
  const std::vector<std::string> channel_names = m.list("channel_names");
  const auto c = static_cast<std::int64_t>(channel_names.size());
  const EncoderArchitecture a{.observed = sensors.nx * sensors.ny * c,
                              .hidden = m.positive("hidden", 8192),
                              .latent = m.positive("latent", 4096),
                              .parameters = m.positive("parameters", 4096)};
  const auto tensor = [&](const std::string& name, const Shape& shape, DType dtype) {
    return finite_tensor(path, file, name, shape, dtype);
  };
  // The sizes must fit the file before so many weights are made.
  tensor("lstm.input_weight", {a.observed, 4 * a.hidden}, DType::float32);
  tensor("lstm.hidden_weight", {a.hidden, 4 * a.hidden}, DType::float32);
  tensor("output.weight", {a.hidden, a.outputs()}, DType::float32);
  TrainedEncoder encoder{.net = ObservationEncoder(a, 0),
                         .sensors = sensors,
                         .channel_names = channel_names,
                         .field_mean = tensor("normalisation.field_mean", {c}, DType::float64).to_vector(),
                         .field_std = tensor("normalisation.field_std", {c}, DType::float64).to_vector(),
                         .surrogate = m.text("surrogate"),
                         .provenance = file.metadata};
  nn::Parameters& weights = encoder.net.parameters();
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights.set(i, tensor(weights.name(i), weights[i].shape(), DType::float32));
  const auto positive = [&](const char* name) {
    for (const double value : file.tensors.at(name).to_vector())
      if (!(value > 0)) throw InputError(path.string(), name, "not positive");
  };
  positive("normalisation.field_std");
  positive("target.deviation");
  return encoder;
}

void check_fits(const TrainedEncoder& encoder, const std::string& source, const Surrogate& s,
                const std::string& checksum) {
  const EncoderArchitecture& a = encoder.net.architecture();
  const auto need = [&](bool equal, const char* field) {
    if (!equal) throw InputError(source, field, "differs from the surrogate's");
  };
  need(encoder.channel_names == s.about.channel_names, "channel_names");
  need(a.latent == s.net.architecture().latent, "latent");
  need(a.parameters == s.about.parameters(), "parameters");
  need(!s.about.grid.listed() && encoder.sensors.nx <= s.about.grid.nx, "sensors_x");
  need(!s.about.grid.listed() && encoder.sensors.ny <= s.about.grid.ny, "sensors_y");
  if (encoder.surrogate != checksum)
    throw InputError(source, "surrogate", "made for another surrogate; run levda encode again");
}

}  // namespace levda::models
