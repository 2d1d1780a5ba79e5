#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "base/error.h"

namespace cloister::base {

// A value or the Error that took its place. Every function that can fail on input, files, peers or
// policy returns one; exceptions of libraries are turned into an Error where they enter our code.
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

// Success or an Error.
using Status = Result<void>;

inline tl::unexpected<Error> Fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

// Passes on the Error of a failed Result of another type.
template <typename T>
tl::unexpected<Error> Forward(Result<T>&& result) {
  return tl::unexpected<Error>(std::move(result).error());
}

// Puts "context: " before a failed Result's message.
template <typename T>
tl::unexpected<Error> Annotate(Result<T>&& result, const std::string& context) {
  Error error = std::move(result).error();
  error.message = context + ": " + error.message;
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace cloister::base

// Evaluates `expression` (a Result), returns its Error from the enclosing function or binds its
// value to `declaration`. A macro because only one can return from its caller.
#define CLOISTER_CONCAT_INNER(a, b) a##b
#define CLOISTER_CONCAT(a, b) CLOISTER_CONCAT_INNER(a, b)
#define CLOISTER_ASSIGN_OR_RETURN(declaration, expression)                                  \
  CLOISTER_ASSIGN_OR_RETURN_INNER(CLOISTER_CONCAT(cloister_result_, __LINE__), declaration, \
                                  expression)
#define CLOISTER_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                            \
  if (!result) return ::cloister::base::Forward(std::move(result));      \
  declaration = std::move(result).value()

// The same for a Status, or for a Result whose value is not needed.
#define CLOISTER_RETURN_IF_ERROR(expression)                        \
  do {                                                              \
    if (auto cloister_status = (expression); !cloister_status)      \
      return ::cloister::base::Forward(std::move(cloister_status)); \
  } while (false)
