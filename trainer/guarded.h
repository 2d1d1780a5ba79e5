#pragma once

#include <exception>
#include <new>
#include <string>

#include "base/result.h"

namespace cloister::trainer {

// Runs `body` and turns LibTorch's exceptions, which are std::exceptions, into an Error that says
// what was being done.
template <typename Body>
auto Guarded(const char* what, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return base::Fail(base::Code::kInternal, std::string("out of memory while ") + what +
                                                 ": lower max_tokens or micro_batch_tokens");
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return base::Fail(base::Code::kInternal,
                      "LibTorch failed while " + std::string(what) + " (" +
                          text.substr(0, text.find('\n')) +
                          "): lower max_tokens or micro_batch_tokens if memory ran out, else try "
                          "a fresh copy of the model");
  }
}

}  // namespace cloister::trainer
