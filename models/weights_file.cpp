#include "models/weights_file.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "autodiff/error.h"

namespace levda::models {

const std::string& Metadata::text(const std::string& key) const {
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) throw InputError(path_.string(), key, "missing from the metadata");
  return entry->second;
}

template <typename T>
T Metadata::number(const std::string& key) const {
  const std::string& value = text(key);
  T result{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size())
    throw InputError(path_.string(), key, fmt::format("\"{}\" is not a number", value));
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(result)) throw InputError(path_.string(), key, "not finite");
  return result;
}

template std::int64_t Metadata::number<std::int64_t>(const std::string& key) const;
template double Metadata::number<double>(const std::string& key) const;

std::int64_t Metadata::whole(const std::string& key, std::int64_t least, std::int64_t most) const {
  const auto value = number<std::int64_t>(key);
  if (value < least || value > most)
    throw InputError(path_.string(), key, fmt::format("{} is not in {} .. {}", value, least, most));
  return value;
}

Geometry Metadata::geometry(const std::string& key) const {
  if (!has(key)) return Geometry::plane;
  const std::optional<Geometry> value = choice_of<Geometry>(text(key));
  if (!value)
    throw InputError(path_.string(), key, fmt::format("\"{}\" is none of {}", text(key), choice_names<Geometry>()));
  return *value;
}

nn::Hidden Metadata::hidden(const std::string& key) const {
  if (!has(key)) return nn::Hidden::residual_silu;
  const std::optional<nn::Hidden> value = choice_of<nn::Hidden>(text(key));
  if (!value)
    throw InputError(path_.string(), key,
                     fmt::format("\"{}\" is none of residual_silu, relu, residual_relu", text(key)));
  return *value;
}

std::vector<std::string> Metadata::list(const std::string& key) const {
  std::vector<std::string> items{""};
  for (const char c : text(key)) {
    if (c == ',')
      items.emplace_back();
    else
      items.back() += c;
  }
  return items;
}

autodiff::Tensor finite_tensor(const std::filesystem::path& path, const nn::TensorFile& file, const std::string& name,
                               const autodiff::Shape& shape, autodiff::DType dtype) {
  const auto entry = file.tensors.find(name);
  if (entry == file.tensors.end()) throw InputError(path.string(), name, "no such tensor");
  const autodiff::Tensor& value = entry->second;
  if (!(value.shape() == shape) || value.dtype() != dtype)
    throw InputError(path.string(), name,
                     fmt::format("{} {}, where {} {} is needed", autodiff::name(value.dtype()), value.shape().text(),
                                 autodiff::name(dtype), shape.text()));
  for (const double x : value.to_vector())
    if (!std::isfinite(x)) throw InputError(path.string(), name, "holds a value that is not finite");
  return value;
}

}  // namespace levda::models
