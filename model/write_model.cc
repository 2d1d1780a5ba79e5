#include "model/write_model.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "base/progress.h"
#include "model/gguf/gguf_architecture.h"
#include "model/gguf/gguf_layout.h"
#include "model/gguf/gguf_metadata.h"
#include "model/gguf/gguf_split.h"
#include "model/huggingface/model_folder.h"
#include "model/huggingface/safetensors_writer.h"
#include "model/tensor_stream.h"

namespace cloister::model {
namespace {

constexpr char kGgufExtension[] = ".gguf";

// A tensor on its way from the source to the output.
struct Transfer {
  GgufTensor layout;  // `name` of the output; a folder's tensors are all kSame
  TensorSpec spec;
};

DataType WrittenType(const WritePlan& plan, const std::string& name,
                     const TensorDescription& stored, std::int64_t columns, bool gguf) {
  // Nothing is written in 8-bit floats.
  DataType wanted = plan.type(name, stored.type);
  if (wanted == DataType::kF8E4M3) wanted = DataType::kBF16;
  if (!gguf) return IsBlockType(wanted) ? DataType::kF32 : wanted;
  // Vectors and routers, as llama.cpp wants them.
  if (stored.shape.size() < 2 || name.ends_with(".mlp.gate.weight")) return DataType::kF32;
  return TypeForRows(wanted, columns);
}

// The source's own tensor where it holds just what the output does, and the plan does not change
// it.
std::optional<TensorView> StoredAlike(const SourceModel& source, const WritePlan& plan,
                                      const GgufTensor& tensor) {
  const bool key = tensor.form == GgufTensor::Form::kKeyUp;
  if (!key && tensor.form != GgufTensor::Form::kValueUp) return std::nullopt;
  if (plan.changes && plan.changes(tensor.parts[0])) return std::nullopt;
  return source.StoredUpProjection(tensor.parts[0], key);
}

// Of what is stored as one tensor; F32 where the parts' types differ, so that none loses anything.
base::Result<DataType> TypeOf(const SourceModel& source, const WritePlan& plan,
                              const GgufTensor& tensor, bool gguf) {
  if (const auto stored = StoredAlike(source, plan, tensor)) {
    return WrittenType(plan, tensor.parts[0], {stored->type, stored->shape}, tensor.shape.back(),
                       gguf);
  }
  std::optional<DataType> common;
  for (const std::string& part : tensor.parts) {
    CLOISTER_ASSIGN_OR_RETURN(const TensorDescription stored, source.Describe(part));
    const DataType type = WrittenType(plan, part, stored, tensor.shape.back(), gguf);
    if (common && *common != type) return DataType::kF32;
    common = type;
  }
  CLOISTER_CHECK(common.has_value());
  return *common;
}

base::Result<std::vector<Transfer>> PlanTransfers(const SourceModel& source,
                                                  const Architecture& architecture,
                                                  const WritePlan& plan, bool gguf) {
  std::vector<GgufTensor> tensors;
  if (gguf) {
    tensors = GgufTensors(architecture);
  } else {
    for (NamedShape& expected : ExpectedTensors(architecture)) {
      GgufTensor same = {.name = expected.name, .shape = std::move(expected.shape)};
      same.parts = {std::move(expected.name)};
      tensors.push_back(std::move(same));
    }
  }
  std::vector<Transfer> transfers;
  for (GgufTensor& tensor : tensors) {
    CLOISTER_ASSIGN_OR_RETURN(const DataType type, TypeOf(source, plan, tensor, gguf));
    TensorSpec spec = {tensor.name, type, tensor.shape};
    transfers.push_back({std::move(tensor), std::move(spec)});
  }
  return transfers;
}

// The type that most weights have.
DataType MainType(const std::vector<Transfer>& transfers) {
  std::array<std::int64_t, kAllDataTypes.size()> counts = {};
  for (const Transfer& transfer : transfers) {
    counts[static_cast<std::size_t>(transfer.spec.type)] += transfer.spec.elements();
  }
  return static_cast<DataType>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

// Writes tensors of a network to a sink.
class TransferWriter {
 public:
  TransferWriter(const SourceModel& source, const Architecture& architecture, const WritePlan& plan,
                 TensorSink& sink)
      : source_(source), architecture_(architecture), plan_(plan), sink_(sink) {}

  base::Status Write(const Transfer& transfer) {
    if (const auto stored = StoredAlike(source_, plan_, transfer.layout)) {
      return StreamTensor(transfer.layout.parts[0], *stored, {.type = transfer.spec.type}, sink_);
    }
    for (const std::string& part : transfer.layout.parts) {
      CLOISTER_ASSIGN_OR_RETURN(const TensorView view, source_.Tensor(part));
      CLOISTER_RETURN_IF_ERROR(WritePart(transfer, part, view));
    }
    return {};
  }

 private:
  base::Status WritePart(const Transfer& transfer, const std::string& part,
                         const TensorView& view) {
    RowStream stream;
    stream.type = transfer.spec.type;
    if (plan_.changes && plan_.changes(part)) {
      stream.change = [&](std::int64_t row, std::span<float> values) {
        plan_.change(part, row, values);
      };
    }
    switch (transfer.layout.form) {
      case GgufTensor::Form::kKeyUp:
        return WriteKeyUp(part, view, stream);
      case GgufTensor::Form::kValueUp:
        return WriteValueUp(part, view, stream);
      case GgufTensor::Form::kSame:
      case GgufTensor::Form::kStack:
        break;
    }
    if (const std::optional<PairOrder>& order = transfer.layout.order) {
      if (view.shape.size() == 1) return WriteOrderedVector(part, view, *order, stream);
      stream.source_row = [&order](std::int64_t row) { return order->HalfRowOf(row); };
    }
    return StreamTensor(part, view, stream, sink_);
  }

  // Row `row` of `view` as it goes out, changed where the plan says so.
  std::vector<float> Row(const TensorView& view, std::int64_t row, const RowStream& stream) const {
    std::vector<float> values(static_cast<std::size_t>(view.row_elements()));
    DequantizeRow(view, row, values.data());
    if (stream.change) stream.change(row, values);
    return values;
  }

  base::Status WriteFloats(const std::string& part, std::span<const float> values,
                           std::int64_t columns, DataType type) {
    CLOISTER_CHECK(columns > 0);
    TensorView view;
    view.shape = {static_cast<std::int64_t>(values.size()) / columns, columns};
    view.data = std::as_bytes(values);
    return StreamTensor(part, view, {.type = type}, sink_);
  }

  base::Status WriteOrderedVector(const std::string& part, const TensorView& view,
                                  const PairOrder& order, const RowStream& stream) {
    const std::vector<float> halves = Row(view, 0, stream);
    std::vector<float> pairs(halves.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      pairs[i] = halves[static_cast<std::size_t>(order.HalfRowOf(static_cast<std::int64_t>(i)))];
    }
    return WriteFloats(part, pairs, view.elements(), stream.type);
  }

  // kv_b_proj's key rows, [kv_rank, nope_dim] a head: one head in memory at a time.
  base::Status WriteKeyUp(const std::string& part, const TensorView& view,
                          const RowStream& stream) {
    const LatentAttention& latent = *architecture_.latent;
    const auto nope = static_cast<std::size_t>(latent.nope_dim);
    std::vector<float> transposed(nope * static_cast<std::size_t>(latent.kv_rank));
    for (std::int64_t head = 0; head < architecture_.num_heads; ++head) {
      const std::int64_t first = head * (latent.nope_dim + latent.value_dim);
      for (std::size_t i = 0; i < nope; ++i) {
        const std::vector<float> row = Row(view, first + static_cast<std::int64_t>(i), stream);
        for (std::size_t j = 0; j < row.size(); ++j) transposed[j * nope + i] = row[j];
      }
      CLOISTER_RETURN_IF_ERROR(WriteFloats(part, transposed, latent.nope_dim, stream.type));
    }
    return {};
  }

  base::Status WriteValueUp(const std::string& part, const TensorView& view, RowStream stream) {
    const LatentAttention& latent = *architecture_.latent;
    TensorView values = view;
    values.shape = {architecture_.num_heads * latent.value_dim, latent.kv_rank};
    stream.source_row = [&latent](std::int64_t row) {
      const std::int64_t head = row / latent.value_dim;
      return row + (head + 1) * latent.nope_dim;
    };
    return StreamTensor(part, values, stream, sink_);
  }

  const SourceModel& source_;
  const Architecture& architecture_;
  const WritePlan& plan_;
  TensorSink& sink_;
};

base::Status Stream(const SourceModel& source, const std::vector<Transfer>& transfers,
                    const Architecture& architecture, const WritePlan& plan, TensorSink& sink) {
  std::uint64_t total = 0;
  for (const Transfer& transfer : transfers) total += transfer.spec.bytes();
  // Rounded down: the bar tells no more than was written.
  const bool large = total >= std::uint64_t{16} << 20;
  const int shift = large ? 20 : 10;
  base::Progress progress(plan.title, total >> shift, large ? "MiB" : "KiB");
  std::uint64_t done = 0;
  TransferWriter writer(source, architecture, plan, sink);
  for (const Transfer& transfer : transfers) {
    CLOISTER_RETURN_IF_ERROR(writer.Write(transfer));
    done += transfer.spec.bytes();
    progress.Update(done >> shift, transfer.spec.name);
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
  if (HasRopeFrequencies(architecture)) {
    const std::vector<double> exact = architecture.rope.Divisors(architecture.head_dim);
    divisors.assign(exact.begin(), exact.end());
    specs.push_back({kRopeFrequencies, DataType::kF32, {architecture.head_dim / 2}});
  }
  for (const Transfer& transfer : transfers) specs.push_back(transfer.spec);
  CLOISTER_ASSIGN_OR_RETURN(auto sink,
                            NewGguf(output, metadata, std::move(specs), plan.max_file_bytes));
  if (!divisors.empty()) {
    CLOISTER_RETURN_IF_ERROR(sink->Write(std::as_bytes(std::span<const float>(divisors))));
  }
  CLOISTER_RETURN_IF_ERROR(Stream(source, transfers, architecture, plan, *sink));
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
  CLOISTER_ASSIGN_OR_RETURN(auto sink, NewSafetensors(folder.path() / "model.safetensors",
                                                      std::move(specs), plan.max_file_bytes));
  CLOISTER_RETURN_IF_ERROR(Stream(source, transfers, architecture, plan, *sink));
  CLOISTER_RETURN_IF_ERROR(sink->Commit());
  return folder.Commit();
}

base::Status CheckGgufOutput(const std::filesystem::path& output) {
  const auto refuse = [&](const std::string& why) {
    return base::Fail(base::Code::kInvalidArgument, output.string() + " " + why);
  };
  if (output.filename() == kGgufExtension) {
    return refuse("has no name before .gguf: call it model.gguf, say");
  }
  if (GgufPartName::Of(output)) {
    return refuse("is the name of one part of a model in several files: choose another name");
  }
  return {};
}

}  // namespace

base::Result<WrittenModel> WriteModel(const SourceModel& source, const std::filesystem::path& given,
                                      const WritePlan& plan) {
  const bool gguf = given.filename().string().ends_with(kGgufExtension);
  std::filesystem::path output = given;
  if (gguf) {
    CLOISTER_RETURN_IF_ERROR(CheckGgufOutput(given));
    CLOISTER_ASSIGN_OR_RETURN(output, base::ResolvedOutput(given));
  }
  CLOISTER_ASSIGN_OR_RETURN(const Architecture architecture, source.architecture());
  CLOISTER_RETURN_IF_ERROR(CheckTensors(source, architecture));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Transfer> transfers,
                            PlanTransfers(source, architecture, plan, gguf));
  WrittenModel written;
  written.format = gguf ? "gguf" : "huggingface";
  const bool has_divisors = gguf && HasRopeFrequencies(architecture);
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
