#include "model/tensor_stream.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"
#include "base/parallel.h"
#include "model/finite.h"

namespace cloister::model {
namespace {

constexpr std::int64_t kChunkBytes = std::int64_t{16} << 20;  // of output, written at once
constexpr std::int64_t kTaskElements = std::int64_t{1} << 16;

class Streamer {
 public:
  Streamer(const std::string& name, const TensorView& tensor, const RowStream& stream)
      : name_(name), tensor_(tensor), stream_(stream), columns_(tensor.row_elements()) {
    CLOISTER_CHECK(columns_ % BlockSize(stream.type) == 0);
    row_bytes_ = columns_ / BlockSize(stream.type) * BlockBytes(stream.type);
    copied_ = stream.type == tensor.type && !stream.change;
  }

  base::Status WriteTo(TensorSink& sink) const {
    if (row_bytes_ == 0) return {};
    const std::int64_t rows = tensor_.rows();
    const std::int64_t together = std::max<std::int64_t>(1, kChunkBytes / row_bytes_);
    const bool in_place = copied_ && !stream_.source_row;
    std::vector<std::byte> chunk(
        in_place ? 0 : static_cast<std::size_t>(std::min(together, rows) * row_bytes_));
    for (std::int64_t first = 0; first < rows; first += together) {
      const std::int64_t count = std::min(together, rows - first);
      const auto size = static_cast<std::size_t>(count * row_bytes_);
      AskFor(first + count, count);
      if (in_place) {
        const TensorView part = {
            tensor_.type,
            {count, columns_},
            tensor_.data.subspan(static_cast<std::size_t>(first * row_bytes_), size)};
        CLOISTER_RETURN_IF_ERROR(CheckFinite(name_, part));
        CLOISTER_RETURN_IF_ERROR(sink.Write(part.data));
        continue;
      }
      CLOISTER_RETURN_IF_ERROR(Fill(first, count, chunk.data()));
      CLOISTER_RETURN_IF_ERROR(sink.Write(std::span(chunk).first(size)));
    }
    return {};
  }

 private:
  // The next rows come from the disk while these are at work.
  void AskFor(std::int64_t first, std::int64_t count) const {
    if (first >= tensor_.rows() || stream_.source_row) return;
    const std::int64_t rows = std::min(count, tensor_.rows() - first);
    base::PrefetchMapped(
        tensor_.data.subspan(static_cast<std::size_t>(first * tensor_.row_bytes()),
                             static_cast<std::size_t>(rows * tensor_.row_bytes())));
  }

  // Rows first … first + count - 1 of the output.
  base::Status Fill(std::int64_t first, std::int64_t count, std::byte* to) const {
    const std::int64_t rows = std::max<std::int64_t>(1, kTaskElements / columns_);
    std::mutex mutex;
    base::Status status;
    base::InParallel((count + rows - 1) / rows, [&](std::int64_t task) {
      base::Status own = FillRows(first, task * rows, std::min((task + 1) * rows, count), to);
      if (own) return;
      const std::lock_guard lock(mutex);
      if (status) status = std::move(own);
    });
    return status;
  }

  base::Status FillRows(std::int64_t first, std::int64_t begin, std::int64_t end,
                        std::byte* to) const {
    std::vector<float> values(copied_ ? 0 : static_cast<std::size_t>(columns_));
    for (std::int64_t i = begin; i < end; ++i) {
      CLOISTER_RETURN_IF_ERROR(FillRow(first + i, values, to + i * row_bytes_));
    }
    return {};
  }

  base::Status FillRow(std::int64_t row, std::vector<float>& values, std::byte* to) const {
    const std::int64_t from = stream_.source_row ? stream_.source_row(row) : row;
    if (copied_) {
      const TensorView source = {tensor_.type, {columns_}, tensor_.row(from)};
      std::memcpy(to, source.data.data(), source.data.size());
      return CheckFinite(name_, source);
    }
    DequantizeRow(tensor_, from, values.data());
    if (stream_.change) stream_.change(from, values);
    CLOISTER_RETURN_IF_ERROR(CheckRange(name_, stream_.type, values));
    Quantize(stream_.type, values.data(), to, columns_);
    return {};
  }

  const std::string& name_;
  const TensorView& tensor_;
  const RowStream& stream_;
  std::int64_t columns_;
  std::int64_t row_bytes_ = 0;
  bool copied_ = false;
};

}  // namespace

base::Status StreamTensor(const std::string& name, const TensorView& tensor,
                          const RowStream& stream, TensorSink& sink) {
  return Streamer(name, tensor, stream).WriteTo(sink);
}

}  // namespace cloister::model
