#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/jinja/limits.h"
#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

struct Tree;

struct RenderOptions {
  // Variables that the input does not name, or null.
  const nlohmann::ordered_json* variables = nullptr;
  // What strftime_now gives, the clock's date where it is empty.
  std::optional<Date> today;
};

// A template that was read once and can be rendered often. Immutable, thread-safe.
//
// The language is Jinja 3.1's as Hugging Face's chat templates are run: an immutable sandbox with
// trim_blocks, lstrip_blocks, break and continue, {% generation %}, a tojson that does not escape
// HTML, raise_exception and strftime_now. docs/reference/chat-templates.md has what is left out.
class Template {
 public:
  // kDataLoss, "line N: …", for a syntax error; kUnimplemented for a statement that is not
  // supported; kOutOfRange for a source that is too long.
  static base::Result<Template> Parse(std::string_view source, const Limits& limits = {});

  // `input`: an object whose keys are the template's variables. kInvalidArgument with the
  // template's own message where it raises an exception; "line N: …" as kFailedPrecondition where
  // it does what cannot be done, as kOutOfRange where it passes a limit.
  base::Result<std::string> Render(const nlohmann::ordered_json& input,
                                   const RenderOptions& options = {}) const;

 private:
  Template(std::shared_ptr<const Tree> tree, const Limits& limits)
      : tree_(std::move(tree)), limits_(limits) {}
  std::shared_ptr<const Tree> tree_;
  Limits limits_;
};

}  // namespace cloister::model::jinja
