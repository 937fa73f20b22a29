#include "models/checkpoint.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "autodiff/error.h"
#include "nn/safetensors.h"

namespace levda::models {

namespace {

constexpr const char* checkpoint_format = "levda-checkpoint-1";

}  // namespace

void Checkpoint::save(const nn::Parameters& parameters, const nn::Optimiser& optimiser, double seconds,
                      int stage) const {
  nn::TensorFile file;
  file.metadata = {{"format", checkpoint_format},
                   {"levda_configuration", configuration_},
                   {"steps", fmt::format("{}", optimiser.steps())},
                   {"seconds", fmt::format("{}", seconds)}};
  if (stage > 0) file.metadata["stage"] = fmt::format("{}", stage);
  // A later stage may not train all weights that an earlier one has trained.
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters.trainable(i) || stage > 0) file.tensors["weights." + parameters.name(i)] = parameters[i];
  for (const auto& [name, tensor] : optimiser.state()) file.tensors["optimiser." + name] = tensor;
  nn::write_safetensors(path_, file);
}

template <typename T>
T Checkpoint::number(const nn::TensorFile& file, const char* key) const {
  const auto entry = file.metadata.find(key);
  if (entry == file.metadata.end()) throw InputError(path_.string(), key, "missing from the metadata");
  const std::string& given = entry->second;
  T value{};
  const char* last = given.data() + given.size();
  const auto [end, error] = std::from_chars(given.data(), last, value);
  if (error != std::errc() || end != last || !(value >= 0 && value <= std::numeric_limits<T>::max()))
    throw InputError(path_.string(), key, fmt::format("\"{}\" is not a number from 0 on", given));
  return value;
}

std::optional<nn::TensorFile> Checkpoint::read() const {
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) return std::nullopt;
  nn::TensorFile file = nn::read_safetensors(path_);
  const auto text = [&](const std::string& key) {
    const auto entry = file.metadata.find(key);
    if (entry == file.metadata.end()) throw InputError(path_.string(), key, "missing from the metadata");
    return entry->second;
  };
  if (text("format") != checkpoint_format)
    throw InputError(path_.string(), "format",
                     fmt::format("\"{}\" of another version, where \"{}\" is needed; remove it, or train in another "
                                 "folder",
                                 text("format"), checkpoint_format));
  if (text("levda_configuration") != configuration_)
    throw InputError(path_.string(), "levda_configuration",
                     "an unfinished training of another configuration; remove it, or train in another folder");
  return file;
}

int Checkpoint::stage() const {
  const std::optional<nn::TensorFile> file = read();
  return file && file->metadata.count("stage") > 0 ? number<int>(*file, "stage") : 0;
}

double Checkpoint::restore(nn::Parameters& parameters, nn::Optimiser& optimiser) const {
  const std::optional<nn::TensorFile> read_file = read();
  if (!read_file) return 0;
  const nn::TensorFile& file = *read_file;
  const auto steps = number<std::int64_t>(file, "steps");
  const auto seconds = number<double>(file, "seconds");
  nn::Optimiser::State state;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with("optimiser.")) state[name.substr(name.find('.') + 1)] = tensor;
  try {
    optimiser.restore(steps, state);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (parameters.trainable(i) || file.metadata.count("stage") > 0)
        parameters.set(i, nn::restored("weights", file.tensors, "weights." + parameters.name(i), parameters[i]));
  } catch (const Error& error) {  // a missing tensor, another shape or type
    throw InputError(path_.string(), "", error.what());
  }
  return seconds;
}

}  // namespace levda::models
