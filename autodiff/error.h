#pragma once

/// The exceptions that the libraries throw. Errors in the libraries themselves are asserts.

#include <stdexcept>
#include <string>

namespace levda {

/// Base of all errors. The message is one line without a newline. The program prints it and exits with code 2.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Bad input from a file or an option. The message names the source and the field.
class InputError : public Error {
 public:
  /// The message is "`source`: `field`: `message`"; an empty field is left out. Field and message may quote the input:
  /// control characters become spaces, and text beyond 400 characters is cut.
  InputError(const std::string& source, const std::string& field, const std::string& message)
      : Error(source + ": " + (field.empty() ? "" : printable(field) + ": ") + printable(message)) {}

 private:
  static std::string printable(std::string text) {
    constexpr std::size_t longest = 400;
    if (text.size() > longest) text = text.substr(0, longest) + "..";
    for (char& c : text)
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    return text;
  }
};

/// The caller asked a long computation to stop. Everything finished is saved where the computation saves it.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// A computation under guard produced a NaN or an infinity. The message names the operation, and the shapes and ranges
/// of its inputs.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

}  // namespace levda
