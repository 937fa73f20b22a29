#pragma once

/// The surface that a grid's coordinates x and y lie on.

#include <cstdint>
#include <optional>
#include <string_view>

namespace levda::models {

enum class Geometry : std::uint8_t {
  plane,  ///< ends at its outermost nodes
  torus,  ///< periodic in x and in y: node nx is node 0
  sphere  ///< x is longitude, periodic, y latitude, both in degrees
};

constexpr std::string_view name(Geometry geometry) {
  switch (geometry) {
    case Geometry::plane: return "plane";
    case Geometry::torus: return "torus";
    case Geometry::sphere: return "sphere";
  }
  return "";
}

/// Nothing where the text is no name of a geometry.
constexpr std::optional<Geometry> geometry_of(std::string_view text) {
  for (const Geometry geometry : {Geometry::plane, Geometry::torus, Geometry::sphere})
    if (text == name(geometry)) return geometry;
  return std::nullopt;
}

}  // namespace levda::models
