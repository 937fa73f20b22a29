#include "models/surrogate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autodiff/error.h"
#include "models/weights_file.h"

namespace levda::models {

using autodiff::DType;
using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

std::vector<double> Surrogate::normal_parameters(std::span<const double> physical) const {
  std::vector<double> normal(physical.begin(), physical.end());
  const std::size_t p = about.parameter_min.size();
  for (std::size_t i = 0; i < normal.size(); ++i) {
    const double low = about.parameter_min[i % p];
    normal[i] = 2 * (normal[i] - low) / (about.parameter_max[i % p] - low) - 1;
  }
  return normal;
}

std::vector<double> Surrogate::physical_parameters(std::span<const double> normal) const {
  std::vector<double> physical(normal.begin(), normal.end());
  const std::size_t p = about.parameter_min.size();
  for (std::size_t i = 0; i < physical.size(); ++i) {
    const double low = about.parameter_min[i % p];
    physical[i] = low + 0.5 * (physical[i] + 1) * (about.parameter_max[i % p] - low);
  }
  return physical;
}

namespace {

/// Copies a part that was computed on some device to its place in a tensor of the CPU, from element `begin` on.
void put(const Tensor& part, Tensor& whole, std::int64_t begin) {
  const Tensor here = part.to(autodiff::cpu());
  std::copy_n(here.data<float>(), here.size(), whole.data<float>() + begin);
}

}  // namespace

Tensor latent_trajectories(const Ldnet& net, std::span<const double> u, std::int64_t members, std::int64_t frames,
                           std::int64_t most) {
  const std::int64_t p = net.architecture().parameters;
  const std::int64_t d = net.architecture().latent;
  const std::int64_t steps = static_cast<std::int64_t>(u.size()) / (members * p);  // of parameters
  const Vars weights = net.parameters().constants();
  autodiff::Backend& backend = weights[0].value().backend();
  const Var parameters(Tensor::from(u, {members, steps, p}, DType::float32, backend));
  Tensor latents = Tensor::empty({members, frames, d});
  // All frames of a trajectory are kept.
  for_each_row_block(backend, members, 1, 1, std::max<std::int64_t>(1, most / frames), [&](const RowBlock& block) {
    const std::int64_t rows = block.groups();
    const Var own = parameters.value().rows(block.first_group, block.end_group);
    Vars own_parameters;
    for (std::int64_t k = 0; k < frames; ++k)
      own_parameters.push_back(reshape(slice(own, 1, steps == 1 ? 0 : k, 1), {rows, p}));
    const Var states = net.trajectory(weights, own_parameters, Var(Tensor::zeros({rows, d}, DType::float32, backend)));
    put(transpose(states, {1, 0, 2}).value(), latents, block.first_group * frames * d);
  });
  return latents;
}

Tensor decode_states(const Ldnet& net, const Tensor& s, const Tensor& x, std::int64_t most) {
  constexpr std::int64_t tile = 256;  // points: activations stay in cache
  const std::int64_t states = s.shape()[0];
  const std::int64_t points = x.shape()[0];
  const Vars weights = net.parameters().constants();
  autodiff::Backend& backend = weights[0].value().backend();
  const Tensor q = net.features(weights, Var(x.to(backend))).value();
  const Tensor on_device = s.to(backend);
  Tensor fields = Tensor::empty({states, points, net.architecture().channels});
  for_each_row_block(backend, states, points, tile, most, [&](const RowBlock& block) {
    const Tensor y = net.decode_all(weights, Var(q.rows(block.first_row, block.end_row)),
                                    Var(on_device.rows(block.first_group, block.end_group)))
                         .value();
    // Whole states, or rows of one state: both are one run of elements.
    put(y, fields, (block.first_group * points + block.first_row) * fields.shape()[2]);
  });
  return fields;
}

std::vector<float> predict(const Surrogate& s, std::span<const double> parameters) {
  const std::int64_t frames = s.about.frames;
  const std::int64_t c = s.about.channels();
  const Tensor latents = latent_trajectories(s.net, s.normal_parameters(parameters), 1, frames);
  const Tensor fields =
      decode_states(s.net, latents.reshaped({frames, s.net.architecture().latent}), grid_points(s.about.grid, 1));
  std::vector<float> physical;
  for (std::int64_t frame = 0; frame < frames; ++frame)
    for (std::int64_t k = 0; k < c; ++k)
      for (std::int64_t i = 0; i < s.about.grid.cells(); ++i)
        physical.push_back(static_cast<float>(
            s.offset(k) + s.scale(k) * fields.data<float>()[(frame * s.about.grid.cells() + i) * c + k]));
  return physical;
}

namespace {

constexpr const char* format_name = "levda-surrogate-2";

Tensor vector_tensor(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())});
}

/// All but the provenance.
nn::TensorFile packed(const Surrogate& s) {
  nn::TensorFile file;
  auto& m = file.metadata;
  const LdnetArchitecture& a = s.net.architecture();
  const Grid& g = s.about.grid;
  const auto number = [](const auto& value) { return fmt::format("{}", value); };
  m["format"] = format_name;
  m["case"] = s.about.case_name;
  m["parameter_names"] = fmt::format("{}", fmt::join(s.about.parameter_names, ","));
  m["parameter_units"] = fmt::format("{}", fmt::join(s.about.parameter_units, ","));
  m["channel_names"] = fmt::format("{}", fmt::join(s.about.channel_names, ","));
  m["channel_units"] = fmt::format("{}", fmt::join(s.about.channel_units, ","));
  m["grid_nx"] = number(g.nx);
  m["grid_ny"] = number(g.ny);
  m["grid_x0"] = number(g.x0);
  m["grid_y0"] = number(g.y0);
  m["grid_dx"] = number(g.dx);
  m["grid_dy"] = number(g.dy);
  m["grid_geometry"] = name_of(g.geometry);
  m["embedding"] = name_of(a.geometry);
  m["time_unit"] = s.about.time_unit;
  m["place_unit"] = s.about.place_unit;
  for (const auto& [key, text] : {std::pair{"place_unit_y", s.about.place_unit_y},
                                  {"time_reference", s.about.time_reference},
                                  {"calendar", s.about.calendar},
                                  {"unsaid_units", fmt::format("{}", fmt::join(s.about.unsaid_units, ","))}})
    if (!text.empty()) m[key] = text;  // left out, older weights stay the same
  m["frames"] = number(s.about.frames);
  m["first_time"] = number(s.about.first_time);
  m["frame_interval"] = number(s.about.frame_interval);
  m["latent"] = number(a.latent);
  m["latent_dt"] = number(a.latent_dt);
  m["fourier_features"] = number(a.fourier_features);
  m["fourier_scale"] = number(a.fourier_scale);
  m["dynamics_depth"] = number(a.dynamics_depth);
  m["dynamics_width"] = number(a.dynamics_width);
  m["decoder_depth"] = number(a.decoder_depth);
  m["decoder_width"] = number(a.decoder_width);
  m["dynamics_layers"] = name_of(a.dynamics_layers);
  m["decoder_layers"] = name_of(a.decoder_layers);
  m["fourier_uniform"] = a.fourier_init == nn::FourierFeatures::Draw::uniform ? "1" : "0";
  m["fourier_trainable"] = a.fourier_trainable ? "1" : "0";

  for (std::size_t i = 0; i < s.net.parameters().size(); ++i)
    file.tensors[s.net.parameters().name(i)] = s.net.parameters()[i];
  file.tensors["grid.offset_x"] = vector_tensor(g.offset_x);
  file.tensors["grid.offset_y"] = vector_tensor(g.offset_y);
  if (g.listed()) {
    file.tensors["grid.x"] = vector_tensor(g.x);
    file.tensors["grid.y"] = vector_tensor(g.y);
  }
  if (!g.never.empty()) {
    const std::vector<float> never(g.never.begin(), g.never.end());
    file.tensors["grid.never"] = Tensor::from(std::span<const float>(never), {s.about.channels(), g.cells()});
  }
  file.tensors["normalisation.parameter_min"] = vector_tensor(s.about.parameter_min);
  file.tensors["normalisation.parameter_max"] = vector_tensor(s.about.parameter_max);
  file.tensors["normalisation.field_mean"] = vector_tensor(s.field_mean);
  file.tensors["normalisation.field_std"] = vector_tensor(s.field_std);
  if (s.scaling) {
    file.tensors["normalisation.offset"] = vector_tensor(s.scaling->offset);
    file.tensors["normalisation.scale"] = vector_tensor(s.scaling->scale);
  }
  file.tensors["prior.parameters"] = s.training_parameters;
  file.tensors["prior.latents"] = s.training_latents;
  file.tensors["error_variance"] = s.error_variance;
  file.tensors["between_variance"] = s.between_variance;
  return file;
}

}  // namespace

void save_surrogate(const std::filesystem::path& path, const Surrogate& s) {
  const auto check_names = [&](const char* field, const std::vector<std::string>& names) {
    for (const std::string& name : names)
      if (name.find(',') != std::string::npos)
        throw InputError(path.string(), field, fmt::format("\"{}\" holds a comma", name));
  };
  check_names("parameter_names", s.about.parameter_names);
  check_names("parameter_units", s.about.parameter_units);
  check_names("channel_names", s.about.channel_names);
  check_names("channel_units", s.about.channel_units);
  nn::TensorFile file = packed(s);
  file.metadata.insert(s.provenance.begin(), s.provenance.end());
  nn::write_safetensors(path, file);
}

std::string content(const Surrogate& s) {
  const nn::TensorFile file = packed(s);
  std::string text;
  for (const auto& [key, value] : file.metadata) text += fmt::format("{} = {}\n", key, value);
  for (const auto& [name, tensor] : file.tensors) {
    const std::vector<double> values = tensor.to_vector();
    text += fmt::format("{} {}\n", name, tensor.shape().text());
    text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  }
  return text;
}

namespace {

/// Reads a file part by part.
class SurrogateFile {
 public:
  explicit SurrogateFile(const std::filesystem::path& path)
      : path_(path), file_(nn::read_safetensors(path)), metadata_(path, file_.metadata) {
    const auto format = file_.metadata.find("format");
    if (format == file_.metadata.end() || format->second != format_name)
      throw InputError(path.string(), "format", fmt::format("not a surrogate of levda (\"{}\" expected)", format_name));
  }

  Surrogate read() {
    read_description();
    read_grid();
    const Description& about = about_;
    const std::int64_t p = about.parameters();
    const std::int64_t c = about.channels();
    about_.parameter_min = numbers("normalisation.parameter_min", p);
    about_.parameter_max = numbers("normalisation.parameter_max", p);
    for (std::int64_t i = 0; i < p; ++i)
      need(about.parameter_min[i] < about.parameter_max[i], "normalisation.parameter_max", "not above parameter_min");
    Surrogate s{.about = about,
                .net = Ldnet(architecture(), 0),
                .field_mean = numbers("normalisation.field_mean", c),
                .field_std = numbers("normalisation.field_std", c),
                .training_parameters = {},
                .training_latents = {},
                .error_variance = tensor("error_variance", {about.frames, c}, DType::float64),
                .between_variance = tensor("between_variance", {about.frames - 1, c}, DType::float64),
                .provenance = file_.metadata};
    if (holds("normalisation.offset") || holds("normalisation.scale")) {
      s.scaling = {numbers("normalisation.offset", c), numbers("normalisation.scale", c)};
      for (const double scale : s.scaling->scale) need(scale > 0, "normalisation.scale", "not positive");
    }
    for (const double deviation : s.field_std) need(deviation > 0, "normalisation.field_std", "not positive");
    for (const double variance : s.error_variance.to_vector()) need(variance >= 0, "error_variance", "negative");
    for (const double variance : s.between_variance.to_vector()) need(variance >= 0, "between_variance", "negative");
    nn::Parameters& weights = s.net.parameters();
    for (std::size_t i = 0; i < weights.size(); ++i)
      weights.set(i, tensor(weights.name(i), weights[i].shape(), DType::float32));
    read_prior(s);
    return s;
  }

 private:
  bool holds(const char* name) const { return file_.tensors.count(name) > 0; }
  Tensor tensor(const std::string& name, const Shape& shape, DType dtype) const {
    return finite_tensor(path_, file_, name, shape, dtype);
  }
  std::vector<double> numbers(const std::string& name, std::int64_t size) const {
    return tensor(name, {size}, DType::float64).to_vector();
  }
  void need(bool good, const char* field, const std::string& message) const {
    if (!good) throw InputError(path_.string(), field, message);
  }

  void read_description() {
    const Metadata& m = metadata_;
    about_.case_name = m.text("case");
    about_.parameter_names = m.list("parameter_names");
    about_.parameter_units = m.list("parameter_units");
    about_.channel_names = m.list("channel_names");
    about_.channel_units = m.list("channel_units");
    about_.time_unit = m.text("time_unit");
    about_.place_unit = m.text("place_unit");
    for (const auto& [key, text] : {std::pair{"place_unit_y", &about_.place_unit_y},
                                    {"time_reference", &about_.time_reference},
                                    {"calendar", &about_.calendar}})
      if (m.has(key)) *text = m.text(key);
    if (m.has("unsaid_units")) about_.unsaid_units = m.list("unsaid_units");
    about_.frames = m.positive("frames", most_);
    about_.first_time = m.number<double>("first_time");
    about_.frame_interval = m.number<double>("frame_interval");
    need(about_.frame_interval > 0, "frame_interval", "not positive");
    need(about_.parameter_units.size() == about_.parameter_names.size(), "parameter_units",
         "not as many as parameter_names");
    need(about_.channel_units.size() == about_.channel_names.size(), "channel_units", "not as many as channel_names");
  }

  void read_grid() {
    const Metadata& m = metadata_;
    Grid& grid = about_.grid;
    const std::int64_t c = about_.channels();
    grid = {.nx = m.positive("grid_nx", most_),
            .ny = m.positive("grid_ny", most_),
            .x0 = m.number<double>("grid_x0"),
            .y0 = m.number<double>("grid_y0"),
            .dx = m.number<double>("grid_dx"),
            .dy = m.number<double>("grid_dy"),
            .offset_x = {},
            .offset_y = {},
            .x = {},
            .y = {},
            .geometry = m.geometry("grid_geometry")};
    if (holds("grid.x")) {
      const std::vector<double> x = numbers("grid.x", grid.nx);
      const std::vector<double> y = numbers("grid.y", grid.nx);
      try {
        grid = Grid::of_points(x, y, c);
      } catch (const Error& error) {
        throw InputError(path_.string(), "grid.x", error.what());
      }
    } else {
      need(grid.nx > 1, "grid_nx", "at least two nodes are needed");
      need(grid.ny > 1, "grid_ny", "at least two nodes are needed");
      need(grid.dx > 0, "grid_dx", "not positive");
      need(grid.dy > 0, "grid_dy", "not positive");
    }
    const std::string fault = grid.fault();
    need(fault.empty(), "grid_geometry", fault);
    grid.offset_x = numbers("grid.offset_x", c);
    grid.offset_y = numbers("grid.offset_y", c);
    if (holds("grid.never"))
      for (const double never : tensor("grid.never", {c, grid.cells()}, DType::float32).to_vector()) {
        need(never == 0 || never == 1, "grid.never", "neither 0 nor 1");
        grid.never.push_back(never == 1 ? 1 : 0);
      }
  }

  /// The architecture must fit the file before memory is allocated for the weights.
  LdnetArchitecture architecture() const {
    const Metadata& m = metadata_;
    const LdnetArchitecture a{.latent = m.positive("latent", 4096),
                              .parameters = about_.parameters(),
                              .channels = about_.channels(),
                              .fourier_features = m.whole("fourier_features", 0, 4096),
                              .fourier_scale = m.number<double>("fourier_scale"),
                              .latent_dt = m.number<double>("latent_dt"),
                              .dynamics_depth = m.positive("dynamics_depth", 1000),
                              .dynamics_width = m.positive("dynamics_width", 8192),
                              .decoder_depth = m.positive("decoder_depth", 1000),
                              .decoder_width = m.positive("decoder_width", 8192),
                              .geometry = m.geometry("embedding"),
                              .dynamics_layers = m.hidden("dynamics_layers"),
                              .decoder_layers = m.hidden("decoder_layers"),
                              .fourier_init = m.flag("fourier_uniform") ? nn::FourierFeatures::Draw::uniform
                                                                        : nn::FourierFeatures::Draw::normal,
                              .fourier_trainable = m.flag("fourier_trainable")};
    need(a.latent_dt > 0, "latent_dt", "not positive");
    const auto check_layers = [&](const char* network, std::int64_t inputs, std::int64_t width, std::int64_t depth) {
      for (std::int64_t k = 0; k < depth; ++k)
        tensor(fmt::format("{}.{}.weight", network, k), {k == 0 ? inputs : width, width}, DType::float32);
    };
    check_layers("decoder", a.features() + a.latent, a.decoder_width, a.decoder_depth);
    check_layers("dynamics", a.parameters + a.latent, a.dynamics_width, a.dynamics_depth);
    return a;
  }

  void read_prior(Surrogate& s) const {
    const auto prior = file_.tensors.find("prior.parameters");
    const Shape shape = prior != file_.tensors.end() ? prior->second.shape() : Shape{0};
    const std::int64_t members = shape.rank() >= 1 ? shape[0] : 0;
    const std::int64_t p = about_.parameters();
    s.training_parameters = tensor(
        "prior.parameters", shape.rank() == 3 ? Shape{members, about_.frames, p} : Shape{members, p}, DType::float64);
    s.training_latents = tensor("prior.latents", {members, about_.frames, s.net.architecture().latent}, DType::float32);
  }

  static constexpr std::int64_t most_ = 1 << 20;
  std::filesystem::path path_;
  nn::TensorFile file_;
  Metadata metadata_;
  Description about_;
};

}  // namespace

Surrogate load_surrogate(const std::filesystem::path& path) { return SurrogateFile(path).read(); }

}  // namespace levda::models
