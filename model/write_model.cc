#include "model/write_model.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/progress.h"
#include "model/gguf_architecture.h"
#include "model/gguf_layout.h"
#include "model/gguf_metadata.h"
#include "model/model_folder.h"
#include "model/safetensors_writer.h"
#include "model/tensor_stream.h"

namespace cloister::model {
namespace {

// A tensor on its way from the source to the output.
struct Transfer {
  std::string name;  // Hugging Face's
  TensorView view;
  TensorSpec spec;
};

DataType StoredType(const WritePlan& plan, const std::string& name, const TensorView& view,
                    bool gguf) {
  const DataType wanted = plan.type(name, view);
  const bool blocks = BlockSize(wanted) > 1;
  if (!gguf) return blocks ? DataType::kF32 : wanted;
  if (view.shape.size() < 2) return DataType::kF32;
  return blocks && view.row_elements() % BlockSize(wanted) != 0 ? DataType::kF16 : wanted;
}

base::Result<std::vector<Transfer>> PlanTransfers(const SourceModel& source,
                                                  const Architecture& architecture,
                                                  const WritePlan& plan, bool gguf) {
  std::vector<Transfer> transfers;
  for (const NamedShape& expected : ExpectedTensors(architecture)) {
    CLOISTER_ASSIGN_OR_RETURN(const TensorView view, source.Tensor(expected.name));
    const std::string stored = gguf ? GgufTensorName(expected.name) : expected.name;
    const DataType type = StoredType(plan, expected.name, view, gguf);
    transfers.push_back({expected.name, view, {stored, type, view.shape}});
  }
  return transfers;
}

// The type that most weights have.
DataType MainType(const std::vector<Transfer>& transfers) {
  std::int64_t counts[6] = {};
  for (const Transfer& transfer : transfers) {
    counts[static_cast<int>(transfer.spec.type)] += transfer.spec.elements();
  }
  return static_cast<DataType>(std::max_element(counts, counts + 6) - counts);
}

base::Status Stream(const std::vector<Transfer>& transfers, const Architecture& architecture,
                    const WritePlan& plan, bool gguf, TensorSink& sink) {
  std::uint64_t total = 0;
  for (const Transfer& transfer : transfers) total += transfer.spec.bytes();
  // Rounded down: the bar tells no more than was written.
  const bool large = total >= std::uint64_t{16} << 20;
  const int shift = large ? 20 : 10;
  base::Progress progress(plan.title, total >> shift, large ? "MiB" : "KiB");
  std::uint64_t done = 0;
  for (const Transfer& transfer : transfers) {
    RowStream stream;
    stream.type = transfer.spec.type;
    if (gguf && (IsQueryWeight(transfer.name) || IsKeyWeight(transfer.name))) {
      stream.source_row = [&](std::int64_t row) { return HalfRowOf(row, architecture.head_dim); };
    }
    if (plan.changes && plan.changes(transfer.name)) {
      stream.change = [&](std::int64_t row, std::span<float> values) {
        plan.change(transfer.name, row, values);
      };
    }
    CLOISTER_RETURN_IF_ERROR(StreamTensor(transfer.name, transfer.view, stream, sink));
    done += transfer.spec.bytes();
    progress.Update(done >> shift, transfer.name);
  }
  progress.Finish();
  return {};
}

base::Result<std::uint64_t> WriteGguf(const SourceModel& source, const Architecture& architecture,
                                      const WritePlan& plan, const std::vector<Transfer>& transfers,
                                      const std::filesystem::path& output) {
  CLOISTER_ASSIGN_OR_RETURN(const GgufMetadata metadata,
                            MetadataFor(source, architecture, MainType(transfers)));
  std::vector<TensorSpec> specs;
  std::vector<float> divisors;
  if (architecture.rope.type != Rope::Type::kDefault) {
    const std::vector<double> exact = architecture.rope.Divisors(architecture.head_dim);
    divisors.assign(exact.begin(), exact.end());
    specs.push_back({kRopeFrequencies, DataType::kF32, {architecture.head_dim / 2}});
  }
  for (const Transfer& transfer : transfers) specs.push_back(transfer.spec);
  CLOISTER_ASSIGN_OR_RETURN(auto sink, NewGguf(output, metadata, std::move(specs)));
  if (!divisors.empty()) {
    CLOISTER_RETURN_IF_ERROR(sink->Write(std::as_bytes(std::span<const float>(divisors))));
  }
  CLOISTER_RETURN_IF_ERROR(Stream(transfers, architecture, plan, true, *sink));
  return sink->Commit();
}

base::Result<std::uint64_t> WriteFolder(const SourceModel& source, const Architecture& architecture,
                                        const WritePlan& plan,
                                        const std::vector<Transfer>& transfers,
                                        const std::filesystem::path& output) {
  CLOISTER_ASSIGN_OR_RETURN(ModelFolder folder, ModelFolder::Create(output));
  std::vector<TensorSpec> specs;
  for (const Transfer& transfer : transfers) specs.push_back(transfer.spec);
  CLOISTER_RETURN_IF_ERROR(
      WriteDescription(source, architecture, MainType(transfers), folder.path()));
  CLOISTER_ASSIGN_OR_RETURN(auto sink,
                            NewSafetensors(folder.path() / "model.safetensors", std::move(specs)));
  CLOISTER_RETURN_IF_ERROR(Stream(transfers, architecture, plan, false, *sink));
  CLOISTER_RETURN_IF_ERROR(sink->Commit());
  return folder.Commit();
}

}  // namespace

base::Result<WrittenModel> WriteModel(const SourceModel& source,
                                      const std::filesystem::path& output, const WritePlan& plan) {
  CLOISTER_ASSIGN_OR_RETURN(const Architecture architecture, source.architecture());
  CLOISTER_RETURN_IF_ERROR(CheckTensors(source, architecture));
  const bool gguf = output.extension() == ".gguf";
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Transfer> transfers,
                            PlanTransfers(source, architecture, plan, gguf));
  WrittenModel written;
  written.format = gguf ? "gguf" : "huggingface";
  const bool has_divisors = gguf && architecture.rope.type != Rope::Type::kDefault;
  written.tensors = static_cast<std::int64_t>(transfers.size()) + (has_divisors ? 1 : 0);
  for (const Transfer& transfer : transfers) {
    written.weights += static_cast<std::uint64_t>(transfer.spec.elements());
    written.weight_bytes += transfer.spec.bytes();
  }
  auto bytes = gguf ? WriteGguf(source, architecture, plan, transfers, output)
                    : WriteFolder(source, architecture, plan, transfers, output);
  if (!bytes) return base::Forward(std::move(bytes));
  written.bytes = *bytes;
  return written;
}

}  // namespace cloister::model
