#pragma once

/// Errors that a caller can meet. Programming errors of ours are asserts; everything else is one of these.

#include <stdexcept>
#include <string>

namespace levda {

/// Base of all errors: one line, no trailing newline. The program prints it and exits with code 2.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Bad input from a file or an option: names where it came from and which field is at fault.
class InputError : public Error {
 public:
  /// what() reads "`source`: `field`: `message`"; an empty field is left out. Field and message may quote the input:
  /// control characters become spaces, and what is far longer than a line is cut.
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

/// A computation under guard made a NaN or an infinity: names the operation, its inputs' shapes and their ranges.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

}  // namespace levda
