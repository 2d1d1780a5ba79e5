#include "model/jinja/template.h"

#include <exception>
#include <utility>

#include "model/jinja/interpreter.h"
#include "model/jinja/parser.h"
#include "model/jinja/resolver.h"

namespace cloister::model::jinja {
namespace {

// Runs `work`; an exception of a library (there is no memory left) becomes an error.
template <typename Work>
auto WithoutExceptions(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& error) {
    return base::Fail(base::Code::kInternal,
                      std::string("the chat template failed: ") + error.what());
  }
}

}  // namespace

base::Result<Template> Template::Parse(std::string_view source, const Limits& limits) {
  return WithoutExceptions([&]() -> base::Result<Template> {
    CLOISTER_ASSIGN_OR_RETURN(Tree tree, jinja::Parse(source, limits));
    CLOISTER_RETURN_IF_ERROR(Resolve(tree));
    return Template(std::make_shared<const Tree>(std::move(tree)), limits);
  });
}

base::Result<std::string> Template::Render(const nlohmann::ordered_json& input,
                                           const RenderOptions& options) const {
  return WithoutExceptions(
      [&] { return Interpreter(*tree_, limits_, options.today).Run(input, options.variables); });
}

}  // namespace cloister::model::jinja
