#pragma once

/// Names for the values of an enum that a user can choose from. They are declared once, as a specialisation of
/// `choices`; settings are read, checked and printed from there:
///
///   enum class Fruit : std::uint8_t { apple, pear };
///   template <>
///   inline constexpr std::array choices<Fruit>{Choice{Fruit::apple, "apple"}, Choice{Fruit::pear, "pear"}};

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace levda {

template <typename E>
struct Choice {
  E value;
  std::string_view name;
};
template <typename E>
Choice(E, const char*) -> Choice<E>;  // clang before 17 does not deduce it for an aggregate

/// The values of E and their names, specialised for each enum.
template <typename E>
inline constexpr std::array<Choice<E>, 0> choices{};

/// The name of a value; empty if it has none.
template <typename E>
constexpr std::string_view name_of(E value) {
  for (const Choice<E>& one : choices<E>)
    if (one.value == value) return one.name;
  return {};
}

/// The value with a name; nullopt if no value has this name.
template <typename E>
constexpr std::optional<E> choice_of(std::string_view name) {
  for (const Choice<E>& one : choices<E>)
    if (one.name == name) return one.value;
  return std::nullopt;
}

/// All names, "a, b, c", for messages.
template <typename E>
std::string choice_names() {
  std::string text;
  for (const Choice<E>& one : choices<E>) text += (text.empty() ? "" : ", ") + std::string(one.name);
  return text;
}

}  // namespace levda
