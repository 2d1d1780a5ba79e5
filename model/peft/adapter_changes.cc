#include "model/peft/adapter_changes.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/config/json_reader.h"
#include "model/model_files.h"
#include "model/peft/peft_candidates.h"
#include "model/peft/peft_modules.h"
#include "model/peft/peft_tensors.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr char kEmbedding[] = "model.embed_tokens.weight";
constexpr char kHead[] = "lm_head.weight";

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// Rows first … first + count - 1 of a matrix.
TensorView Rows(TensorView view, std::int64_t first, std::int64_t count) {
  const std::int64_t bytes = view.row_bytes();
  view.data = view.data.subspan(static_cast<std::size_t>(first * bytes),
                                static_cast<std::size_t>(count * bytes));
  view.shape[0] = count;
  return view;
}

class Reader {
 public:
  Reader(const Architecture& architecture, PeftModules modules, PeftTensors tensors,
         AdapterChanges& changes)
      : a_(architecture),
        modules_(std::move(modules)),
        tensors_(std::move(tensors)),
        changes_(changes) {}

  base::Status ReadFactors() {
    for (const PeftCandidate& candidate : PeftCandidates(a_)) {
      CLOISTER_RETURN_IF_ERROR(ReadModule(candidate));
    }
    for (std::int64_t layer = 0; layer < a_.num_layers; ++layer) {
      if (a_.has_experts(layer)) CLOISTER_RETURN_IF_ERROR(ReadStacks(layer));
    }
    // What is left: routed experts, or tensors that nothing means.
    while (!tensors_.factors.empty()) {
      const auto [module, factors] = *tensors_.factors.begin();
      if (const auto expert = PeftExpertCandidate(a_, module)) {
        CLOISTER_RETURN_IF_ERROR(ReadModule(*expert));
      }
      if (tensors_.factors.contains(module)) {
        return NotNamed(factors.a.empty() ? factors.b : factors.a);
      }
    }
    if (!changes_.low_rank.empty()) return {};
    return base::Fail(Code::kDataLoss,
                      Path() +
                          ": target_modules names no module of this network: adapter and "
                          "model do not belong together");
  }

  base::Status ReadReplacements() {
    if (tensors_.whole.empty() && changes_.config.modules_to_save.empty()) return {};
    std::vector<NamedShape> network = ExpectedTensors(a_);
    if (a_.tie_word_embeddings) network.push_back({kHead, {a_.vocab_size, a_.hidden_size}});
    for (const NamedShape& expected : network) {
      const auto found = tensors_.whole.find(expected.name);
      const bool saved = modules_.IsSaved(tensors_.OwnName(expected.name));
      if (found == tensors_.whole.end()) {
        if (!saved || (a_.tie_word_embeddings && expected.name == kHead)) continue;
        return Missing(expected.name);
      }
      // PEFT adds embedding and head, without naming them, where the vocabulary was worked on.
      const bool vocabulary = expected.name == kEmbedding || expected.name == kHead;
      if (!saved && !vocabulary) return NotNamed(found->second);
      CLOISTER_ASSIGN_OR_RETURN(TensorView view, Tensor(found->second, expected.shape));
      changes_.replaced.emplace(expected.name, std::move(view));
      tensors_.whole.erase(found);
    }
    if (!tensors_.whole.empty()) return NotNamed(tensors_.whole.begin()->second);
    return Untie();
  }

 private:
  std::string Path() const { return changes_.file.path().string(); }

  tl::unexpected<base::Error> NotNamed(const std::string& stored) const {
    return base::Fail(Code::kDataLoss, Path() + " holds tensor " + stored +
                                           ", which its adapter_config.json does not name or this "
                                           "network does not have: they do not belong together");
  }

  tl::unexpected<base::Error> Missing(const std::string& what) const {
    return base::Fail(Code::kDataLoss, Path() + " has no tensor for " + what +
                                           ", which its adapter_config.json asks for: the adapter "
                                           "is incomplete or of another model, fetch it again");
  }

  base::Result<TensorView> Tensor(const std::string& stored,
                                  const std::vector<std::int64_t>& shape) const {
    CLOISTER_ASSIGN_OR_RETURN(TensorView view, changes_.file.Tensor(stored));
    if (view.type == DataType::kF8E4M3) {
      return base::Fail(Code::kUnimplemented, Path() + ": tensor " + stored +
                                                  " is of 8-bit floats, which adapters may not "
                                                  "be: store it as F32, F16 or BF16");
    }
    if (view.shape == shape) return view;
    return base::Fail(Code::kDataLoss, Path() + ": tensor " + stored + " must be " +
                                           ShapeText(shape) + " and is " + ShapeText(view.shape) +
                                           ": adapter and model do not belong together");
  }

  base::Result<TensorView> Factor(const std::string& stored, std::int64_t rows,
                                  std::int64_t columns) const {
    CLOISTER_ASSIGN_OR_RETURN(TensorView view, Tensor(stored, {rows, columns}));
    std::vector<float> values(static_cast<std::size_t>(columns));
    for (std::int64_t row = 0; row < rows; ++row) {
      DequantizeRow(view, row, values.data());
      if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
        continue;
      }
      return base::Fail(Code::kDataLoss, Path() + ": tensor " + stored +
                                             " holds a value that is not finite: train again with "
                                             "a lower learning rate");
    }
    return view;
  }

  // The factors of one module, with `count` as many numbers on the side of the rank as its rank
  // says. `name` is what rank and scale go by.
  base::Result<LowRankChange> TakePair(const std::string& module, const std::string& name,
                                       std::int64_t count, std::int64_t out, std::int64_t in,
                                       bool may_embed) {
    const auto found = tensors_.factors.find(module);
    if (found == tensors_.factors.end() || found->second.a.empty() || found->second.b.empty()) {
      return Missing(module);
    }
    const PeftTensors::Factors factors = found->second;
    tensors_.factors.erase(found);
    if (factors.embedding && !may_embed) return NotNamed(factors.a);
    if (factors.embedding) std::swap(out, in);
    LowRankChange change;
    change.embedding = factors.embedding;
    CLOISTER_ASSIGN_OR_RETURN(change.rank, modules_.RankOf(name));
    CLOISTER_ASSIGN_OR_RETURN(change.scale, modules_.ScaleOf(name));
    CLOISTER_ASSIGN_OR_RETURN(change.a, Factor(factors.a, count * change.rank, in));
    CLOISTER_ASSIGN_OR_RETURN(change.b, Factor(factors.b, out, count * change.rank));
    return change;
  }

  base::Status ReadModule(const PeftCandidate& module) {
    const std::string weight = module.name + ".weight";
    const std::string own = tensors_.OwnName(module.name);
    const bool parameter = modules_.IsTargetParameter(own + ".weight");
    if (!parameter) {
      CLOISTER_ASSIGN_OR_RETURN(const bool target,
                                modules_.IsTarget(own, module.layer, module.linear));
      if (!target) return {};
    }
    if (!module.layer && a_.tie_word_embeddings) {
      return base::Fail(Code::kUnimplemented,
                        Path() + ": " + module.name +
                            " is embedding and head at once in this network, and the adapter "
                            "changes one alone, which is not supported: train it without");
    }
    CLOISTER_ASSIGN_OR_RETURN(LowRankChange change,
                              TakePair(module.name, parameter ? own + ".weight" : own, 1,
                                       module.out, module.in, weight == kEmbedding));
    change.layer = module.layer;
    changes_.low_rank.emplace(weight, std::move(change));
    return {};
  }

  // Stacks of routed experts, [experts, out, in] (peft.tuners.lora.ParamWrapper): A holds the
  // experts' factors one below the other, B's columns go through the experts first. Where both
  // stacks are changed, the tensors of gate and up stand a level deeper.
  base::Status ReadStacks(std::int64_t layer) {
    const std::string experts = "model.layers." + std::to_string(layer) + ".mlp.experts";
    const std::string gate_up = tensors_.OwnName(experts + ".gate_up_proj");
    const std::string down = tensors_.OwnName(experts + ".down_proj");
    const bool has_gate_up = modules_.IsTargetParameter(gate_up);
    const bool has_down = modules_.IsTargetParameter(down);
    const std::int64_t size = a_.experts->intermediate_size, count = a_.experts->count;
    if (has_gate_up) {
      CLOISTER_ASSIGN_OR_RETURN(LowRankChange stack,
                                TakePair(has_down ? experts + ".base_layer" : experts, gate_up,
                                         count, 2 * size, a_.hidden_size, false));
      stack.layer = layer;
      AddExperts(experts, "gate_proj", stack, 0, size);
      AddExperts(experts, "up_proj", stack, size, size);
    }
    if (has_down) {
      CLOISTER_ASSIGN_OR_RETURN(LowRankChange stack,
                                TakePair(experts, down, count, a_.hidden_size, size, false));
      stack.layer = layer;
      AddExperts(experts, "down_proj", stack, 0, a_.hidden_size);
    }
    return {};
  }

  void AddExperts(const std::string& experts, const std::string& projection,
                  const LowRankChange& stack, std::int64_t first_row, std::int64_t rows) {
    for (std::int64_t i = 0; i < a_.experts->count; ++i) {
      LowRankChange change = stack;
      change.a = Rows(stack.a, i * stack.rank, stack.rank);
      change.b = Rows(stack.b, first_row, rows);
      change.b_first = i;
      change.b_step = a_.experts->count;
      changes_.low_rank.emplace(experts + "." + std::to_string(i) + "." + projection + ".weight",
                                std::move(change));
    }
  }

  // Where one matrix is embedding and head, both must have been replaced by the same values.
  base::Status Untie() {
    if (!a_.tie_word_embeddings) return {};
    const auto embedding = changes_.replaced.find(kEmbedding);
    const auto head = changes_.replaced.find(kHead);
    const bool has_embedding = embedding != changes_.replaced.end();
    const bool has_head = head != changes_.replaced.end();
    if (!has_embedding && !has_head) return {};
    const bool both = has_embedding && has_head && embedding->second.type == head->second.type &&
                      std::equal(embedding->second.data.begin(), embedding->second.data.end(),
                                 head->second.data.begin(), head->second.data.end());
    if (!both && (has_head || !changes_.config.ensure_weight_tying)) {
      return base::Fail(Code::kUnimplemented,
                        Path() +
                            ": the adapter replaces embed_tokens or lm_head, which are one matrix "
                            "in this network, by two, which is not supported: train with "
                            "ensure_weight_tying");
    }
    if (has_head) changes_.replaced.erase(head);
    return {};
  }

  const Architecture& a_;
  PeftModules modules_;
  PeftTensors tensors_;  // those not read yet
  AdapterChanges& changes_;
};

}  // namespace

std::vector<float> LowRankChange::A() const { return ToFloat(a); }

std::vector<float> LowRankChange::B() const {
  if (b_step == 1) return ToFloat(b);
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(b.rows() * rank));
  for (std::int64_t row = 0; row < b.rows(); ++row) {
    const std::span<const std::byte> bytes = b.row(row);
    for (std::int64_t j = 0; j < rank; ++j) {
      const auto at = static_cast<std::size_t>((b_first + j * b_step) * BlockBytes(b.type));
      Dequantize(b.type, bytes.data() + at, &values.emplace_back(), 1);
    }
  }
  return values;
}

base::Result<AdapterChanges> ReadAdapterChanges(const std::filesystem::path& folder,
                                                const Architecture& architecture) {
  const std::filesystem::path config_path = folder / "adapter_config.json";
  CLOISTER_ASSIGN_OR_RETURN(const nlohmann::json fields, ReadJsonObject(config_path));
  base::Result<PeftConfig> config = ReadPeftConfig(fields);
  if (!config) return base::Annotate(std::move(config), config_path.string());
  base::Result<PeftModules> modules = PeftModules::Make(*config);
  if (!modules) return base::Annotate(std::move(modules), config_path.string());
  CLOISTER_ASSIGN_OR_RETURN(SafetensorsFile file,
                            SafetensorsFile::Open(folder / "adapter_model.safetensors"));
  CLOISTER_ASSIGN_OR_RETURN(PeftTensors tensors, SortPeftTensors(file));
  AdapterChanges changes = {std::move(file), *std::move(config), {}, {}};
  Reader reader(architecture, *std::move(modules), std::move(tensors), changes);
  CLOISTER_RETURN_IF_ERROR(reader.ReadFactors());
  CLOISTER_RETURN_IF_ERROR(reader.ReadReplacements());
  return changes;
}

}  // namespace cloister::model
