#include "model/peft/peft_tensors.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace cloister::model {
namespace {

using base::Code;

constexpr std::string_view kModel = "model.";

// Whether a name begins within the network without its head.
bool LacksModel(std::string_view name) {
  static constexpr std::array<std::string_view, 3> kParts = {"layers.", "embed_tokens.", "norm."};
  return std::any_of(kParts.begin(), kParts.end(),
                     [&](std::string_view part) { return name.starts_with(part); });
}

// The name split at `mark`, which the adapter's own name may follow: "q_proj", "weight" of
// "q_proj.lora_A.default.weight" and "q_proj.lora_A.weight". False where the mark is not there.
struct Split {
  bool found = false;
  std::string before, after;
};

Split SplitAt(const std::string& name, std::string_view mark) {
  const std::string dotted = "." + std::string(mark);
  const std::size_t at = name.find(dotted + ".");
  if (at != std::string::npos) {
    return {true, name.substr(0, at), name.substr(at + dotted.size() + 1)};
  }
  if (name.ends_with(dotted)) return {true, name.substr(0, name.size() - dotted.size()), ""};
  return {};
}

// What is left behind the adapter's own name, which has no dot.
bool IsWeightOfAdapter(const std::string& after) {
  return after == "weight" || (after.ends_with(".weight") && after.find('.') == after.size() - 7);
}

// The parameter that a tensor replaces whole: what wraps the module is taken out of the name.
std::string Parameter(const std::string& name) {
  if (const Split saved = SplitAt(name, "modules_to_save"); saved.found) {
    const std::size_t last = saved.after.rfind('.');
    return saved.before + "." +
           (last == std::string::npos ? saved.after : saved.after.substr(last + 1));
  }
  if (const Split base = SplitAt(name, "base_layer"); base.found) {
    return base.before + "." + base.after;
  }
  return name;
}

class Sorter {
 public:
  explicit Sorter(const SafetensorsFile& file) : file_(file) {}

  base::Status Add(const std::string& stored) {
    std::string name = stored;
    if (name.starts_with("base_model.model.")) name = name.substr(17);
    if (LacksModel(name)) {
      name.insert(0, kModel);
      sorted_.bare = true;
    }
    for (const bool is_a : {true, false}) {
      const Split linear = SplitAt(name, is_a ? "lora_A" : "lora_B");
      if (linear.found && IsWeightOfAdapter(linear.after)) {
        return AddFactor(linear.before, stored, is_a, false);
      }
      const Split embedding = SplitAt(name, is_a ? "lora_embedding_A" : "lora_embedding_B");
      if (embedding.found && embedding.after.find('.') == std::string::npos) {
        return AddFactor(embedding.before, stored, is_a, true);
      }
    }
    if (sorted_.whole.emplace(Parameter(name), stored).second) return {};
    return Twice(stored);
  }

  PeftTensors Take() && { return std::move(sorted_); }

 private:
  base::Status AddFactor(const std::string& module, const std::string& stored, bool is_a,
                         bool embedding) {
    PeftTensors::Factors& factors = sorted_.factors[module];
    const bool first = factors.a.empty() && factors.b.empty();
    std::string& factor = is_a ? factors.a : factors.b;
    if (!factor.empty() || (!first && factors.embedding != embedding)) return Twice(stored);
    factor = stored;
    factors.embedding = embedding;
    return {};
  }

  base::Status Twice(const std::string& stored) const {
    return base::Fail(Code::kDataLoss, file_.path().string() + ": tensor " + stored +
                                           " is there under two names: keep one adapter a file");
  }

  const SafetensorsFile& file_;
  PeftTensors sorted_;
};

}  // namespace

std::string PeftTensors::OwnName(const std::string& module) const {
  return bare && module.starts_with(kModel) ? module.substr(kModel.size()) : module;
}

base::Result<PeftTensors> SortPeftTensors(const SafetensorsFile& file) {
  Sorter sorter(file);
  for (const auto& [stored, entry] : file.entries()) {
    CLOISTER_RETURN_IF_ERROR(sorter.Add(stored));
  }
  return std::move(sorter).Take();
}

}  // namespace cloister::model
