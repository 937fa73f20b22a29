#include "models/encoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "autodiff/error.h"
#include "autodiff/streams.h"
#include "models/weights_file.h"

namespace levda::models {

using autodiff::DType;
using autodiff::Inputs;
using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

ObservationEncoder::ObservationEncoder(const EncoderArchitecture& a, std::uint64_t seed) : architecture_(a) {
  autodiff::Random random(seed, streams::encoder_weights);
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

std::vector<double> TrainedEncoder::normal_observations(std::span<const double> physical) const {
  std::vector<double> normal(physical.begin(), physical.end());
  const std::size_t c = field_mean.size();
  for (std::size_t i = 0; i < normal.size(); ++i) normal[i] = (normal[i] - field_mean[i % c]) / field_std[i % c];
  return normal;
}

namespace {

constexpr const char* cells_name = "sensors.cells";
constexpr const char* format_name = "levda-encoder-2";

Tensor vector_tensor(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())});
}

std::vector<std::int64_t> read_cells(const std::filesystem::path& path, const nn::TensorFile& file) {
  const auto fail = [&](const char* message) { throw InputError(path.string(), cells_name, message); };
  const auto entry = file.tensors.find(cells_name);
  if (entry == file.tensors.end()) fail("no such tensor");
  const Tensor& cells = entry->second;
  if (cells.dtype() != DType::int64 || cells.shape().rank() != 1 || cells.size() < 1)
    fail("not a list of whole numbers");
  const std::int64_t* const first = cells.data<std::int64_t>();
  if (std::any_of(first, first + cells.size(), [](std::int64_t cell) { return cell < 0; }))
    fail("holds a negative one");
  return {first, first + cells.size()};
}

}  // namespace

void save_encoder(const std::filesystem::path& path, const TrainedEncoder& encoder) {
  for (const std::string& name : encoder.channel_names)
    if (name.find(',') != std::string::npos)
      throw InputError(path.string(), "channel_names", fmt::format("\"{}\" holds a comma", name));
  const EncoderArchitecture& a = encoder.net.architecture();
  nn::TensorFile file;
  file.metadata = {{"format", format_name},
                   {"experiment", encoder.sequences.experiment},
                   {"first_start", fmt::format("{}", encoder.sequences.first_start)},
                   {"last_start", fmt::format("{}", encoder.sequences.last_start)},
                   {"frames", fmt::format("{}", encoder.sequences.frames)},
                   {"every", fmt::format("{}", encoder.sequences.every)},
                   {"channel_names", fmt::format("{}", fmt::join(encoder.channel_names, ","))},
                   {"hidden", fmt::format("{}", a.hidden)},
                   {"latent", fmt::format("{}", a.latent)},
                   {"parameters", fmt::format("{}", a.parameters)},
                   {"surrogate", encoder.surrogate}};
  file.metadata.insert(encoder.provenance.begin(), encoder.provenance.end());
  for (std::size_t i = 0; i < encoder.net.parameters().size(); ++i)
    file.tensors[encoder.net.parameters().name(i)] = encoder.net.parameters()[i];
  file.tensors[cells_name] = Tensor::indices(encoder.cells);
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
  const std::vector<std::int64_t> cells = read_cells(path, file);
  const std::vector<std::string> channel_names = m.list("channel_names");
  const auto c = static_cast<std::int64_t>(channel_names.size());
  const EncoderArchitecture a{.observed = static_cast<std::int64_t>(cells.size()) * c,
                              .hidden = m.positive("hidden", 8192),
                              .latent = m.positive("latent", 4096),
                              .parameters = m.positive("parameters", 4096)};
  const auto tensor = [&](const std::string& name, const Shape& shape, DType dtype) {
    return finite_tensor(path, file, name, shape, dtype);
  };
  constexpr std::int64_t most_frames = 1'000'000;
  const std::int64_t first_start = m.whole("first_start", 0, most_frames);
  // The sizes must fit the file before memory is allocated for the weights.
  tensor("lstm.input_weight", {a.observed, 4 * a.hidden}, DType::float32);
  tensor("lstm.hidden_weight", {a.hidden, 4 * a.hidden}, DType::float32);
  tensor("output.weight", {a.hidden, a.outputs()}, DType::float32);
  TrainedEncoder encoder{.net = ObservationEncoder(a, 0),
                         .sequences = {.experiment = m.text("experiment"),
                                       .first_start = first_start,
                                       .last_start = m.whole("last_start", first_start, most_frames),
                                       .frames = m.positive("frames", most_frames),
                                       .every = m.positive("every", most_frames)},
                         .cells = cells,
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
  need(encoder.sequences.last_start + encoder.sequences.frames <= s.about.frames, "frames");
  if (s.about.grid.listed() || *std::max_element(encoder.cells.begin(), encoder.cells.end()) >= s.about.grid.cells())
    throw InputError(source, cells_name, "not on the surrogate's grid");
  if (encoder.surrogate != checksum)
    throw InputError(source, "surrogate", "made for another surrogate; run levda encode again");
}

}  // namespace levda::models
