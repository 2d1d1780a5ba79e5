#include "trainer/distributed/gloo_ranks.h"

#include <ATen/ATen.h>
#include <c10/util/Logging.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "trainer/distributed/backend.h"

namespace cloister::trainer {
namespace {

using c10::intrusive_ptr;

constexpr std::size_t kPiece = std::size_t{1} << 20;  // numbers, or bytes, that are sent at a time
constexpr std::chrono::milliseconds kLook{500};       // between looks at the others in a transfer

template <typename Number>
constexpr at::ScalarType kType = at::kByte;
template <>
constexpr at::ScalarType kType<float> = at::kFloat;
template <>
constexpr at::ScalarType kType<std::int64_t> = at::kLong;

template <typename Number>
at::Tensor Buffer(std::size_t count) {
  return at::zeros({static_cast<std::int64_t>(count)}, kType<Number>);
}

template <typename Number>
std::span<Number> Numbers(const at::Tensor& tensor) {
  return {static_cast<Number*>(tensor.mutable_data_ptr()),
          static_cast<std::size_t>(tensor.numel())};
}

template <typename Number>
std::span<Number> In(std::span<Number> whole, const Range& range) {
  return whole.subspan(range.begin, range.size());
}

// What stands in `shard` from `offset` on, as far as it goes, at the beginning of `piece`; and
// back.
template <typename Number>
void Overlay(std::type_identity_t<std::span<const Number>> shard, std::size_t offset,
             std::span<Number> piece) {
  const auto rest = shard.subspan(std::min(offset, shard.size()));
  std::copy_n(rest.begin(), std::min(rest.size(), piece.size()), piece.begin());
}
template <typename Number>
void Underlay(std::span<Number> piece, std::size_t offset, std::span<Number> shard) {
  const auto rest = shard.subspan(std::min(offset, shard.size()));
  std::copy_n(piece.begin(), std::min(rest.size(), piece.size()), rest.begin());
}

// Buffers are tensors of the transfer's own: one that has broken off may go on with them.
class GlooRanks final : public Ranks {
 public:
  GlooRanks(const Placement& place, std::unique_ptr<MeetingPlace> meeting,
            intrusive_ptr<c10d::Backend> backend)
      : place_(place), meeting_(std::move(meeting)), backend_(std::move(backend)) {}

  std::int64_t rank() const override { return place_.rank; }
  std::int64_t size() const override { return place_.size; }
  std::int64_t local_size() const override { return place_.local_size; }
  std::int64_t local_rank() const override { return place_.local_rank; }

  base::Status Agree(base::Status own) override { return meeting_->Meet("agree", std::move(own)); }

  base::Result<std::vector<std::int64_t>> GatherAll(std::span<const std::int64_t> own) override {
    CLOISTER_RETURN_IF_ERROR(Meet("gather all", own.size()));
    at::Tensor from = Buffer<std::int64_t>(own.size());
    std::copy(own.begin(), own.end(), Numbers<std::int64_t>(from).begin());
    at::Tensor to = Buffer<std::int64_t>(own.size() * ranks());
    CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->_allgather_base(to, from); }));
    const auto all = Numbers<std::int64_t>(to);
    return std::vector<std::int64_t>(all.begin(), all.end());
  }

  base::Status SumToFirst(std::span<std::int64_t> values) override {
    CLOISTER_RETURN_IF_ERROR(Meet("sum to first", values.size()));
    // A reduction would send partial sums through other ranks, which would learn them.
    const std::size_t most = std::max<std::size_t>(1, kPiece / ranks());
    for (std::size_t begin = 0; begin < values.size(); begin += most) {
      const auto piece = values.subspan(begin, std::min(most, values.size() - begin));
      std::vector<at::Tensor> from = {Buffer<std::int64_t>(piece.size())};
      std::copy(piece.begin(), piece.end(), Numbers<std::int64_t>(from[0]).begin());
      std::vector<std::vector<at::Tensor>> to = Buffers<std::int64_t>(piece.size());
      CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->gather(to, from); }));
      for (std::size_t r = 1; first() && r < ranks(); ++r) {
        const auto other = Numbers<std::int64_t>(to[0][r]);
        for (std::size_t i = 0; i < piece.size(); ++i) piece[i] += other[i];
      }
    }
    return {};
  }

  base::Status Broadcast(std::span<std::byte> bytes) override {
    CLOISTER_RETURN_IF_ERROR(Meet("broadcast", bytes.size()));
    for (std::size_t begin = 0; begin < bytes.size(); begin += kPiece) {
      const auto piece = bytes.subspan(begin, std::min(kPiece, bytes.size() - begin));
      std::vector<at::Tensor> buffer = {Buffer<std::byte>(piece.size())};
      std::memcpy(buffer[0].mutable_data_ptr(), piece.data(), piece.size());
      CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->broadcast(buffer); }));
      std::memcpy(piece.data(), buffer[0].const_data_ptr(), piece.size());
    }
    return {};
  }

  base::Status SumShards(std::span<const float> whole, std::span<float> shard) override {
    CLOISTER_RETURN_IF_ERROR(Meet("sum shards", whole.size()));
    std::vector<double> sums;
    return InPieces(whole.size(), [&](std::size_t offset, std::size_t length) -> base::Status {
      at::Tensor from = Buffer<float>(length * ranks());
      at::Tensor to = Buffer<float>(length * ranks());
      for (std::size_t r = 0; r < ranks(); ++r) {
        const Range other = ShardOf(whole.size(), static_cast<std::int64_t>(r));
        Overlay(In(whole, other), offset, Numbers<float>(from).subspan(r * length, length));
      }
      std::vector<std::int64_t> alike;
      CLOISTER_RETURN_IF_ERROR(
          Transfer([&] { return backend_->alltoall_base(to, from, alike, alike); }));
      const auto own = shard.subspan(std::min(offset, shard.size()));
      sums.assign(std::min(length, own.size()), 0.0);
      for (std::size_t r = 0; r < ranks(); ++r) {
        const auto part = Numbers<float>(to).subspan(r * length);
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += part[i];
      }
      std::transform(sums.begin(), sums.end(), own.begin(),
                     [](double sum) { return static_cast<float>(sum); });
      return {};
    });
  }

  base::Status GatherShards(std::span<float> whole) override {
    CLOISTER_RETURN_IF_ERROR(Meet("gather shards", whole.size()));
    return InPieces(whole.size(), [&](std::size_t offset, std::size_t length) -> base::Status {
      at::Tensor from = Buffer<float>(length);
      at::Tensor to = Buffer<float>(length * ranks());
      Overlay(In(whole, Shard(whole.size())), offset, Numbers<float>(from));
      CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->_allgather_base(to, from); }));
      for (std::size_t r = 0; r < ranks(); ++r) {
        const Range shard = ShardOf(whole.size(), static_cast<std::int64_t>(r));
        Underlay(Numbers<float>(to).subspan(r * length, length), offset, In(whole, shard));
      }
      return {};
    });
  }

  base::Status GatherRange(std::span<float> whole, const Range& range, base::Status own) override {
    CLOISTER_RETURN_IF_ERROR(
        Meet("gather range from " + std::to_string(range.begin), range.size(), std::move(own)));
    return InOwners(whole.size(), range, [&](std::int64_t owner, const Range& place) {
      const auto piece = In(whole, place);
      std::vector<at::Tensor> buffer = {Buffer<float>(piece.size())};
      if (owner == rank()) std::copy(piece.begin(), piece.end(), Numbers<float>(buffer[0]).begin());
      c10d::BroadcastOptions from;
      from.rootRank = owner;
      base::Status sent = Transfer([&] { return backend_->broadcast(buffer, from); });
      const auto values = Numbers<float>(buffer[0]);
      if (sent && owner != rank()) std::copy(values.begin(), values.end(), piece.begin());
      return sent;
    });
  }

  base::Status AddRange(std::span<const float> whole, const Range& range, base::Status own,
                        std::span<float> shard) override {
    CLOISTER_RETURN_IF_ERROR(
        Meet("add range from " + std::to_string(range.begin), range.size(), std::move(own)));
    return InOwners(whole.size(), range, [&](std::int64_t owner, const Range& place) {
      const auto piece = In(whole, place);
      std::vector<at::Tensor> from = {Buffer<float>(piece.size())};
      std::copy(piece.begin(), piece.end(), Numbers<float>(from[0]).begin());
      std::vector<std::vector<at::Tensor>> to = Buffers<float>(piece.size(), owner);
      c10d::GatherOptions options;
      options.rootRank = owner;
      base::Status sent = Transfer([&] { return backend_->gather(to, from, options); });
      if (!sent || owner != rank()) return sent;
      const auto sums = shard.subspan(place.begin - Shard(whole.size()).begin, place.size());
      for (std::size_t i = 0; i < sums.size(); ++i) {
        double sum = 0;
        for (const at::Tensor& part : to[0]) sum += Numbers<float>(part)[i];
        sums[i] += static_cast<float>(sum);
      }
      return sent;
    });
  }

  base::Status GatherOnFirst(std::span<const std::byte> own, std::span<std::byte> whole) override {
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> sizes, Sizes(own.size(), whole));
    return InSteps(sizes, [&](std::size_t offset, std::size_t length) -> base::Status {
      std::vector<at::Tensor> from = {Buffer<std::byte>(length)};
      Overlay(own, offset, Numbers<std::byte>(from[0]));
      std::vector<std::vector<at::Tensor>> to = Buffers<std::byte>(length);
      CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->gather(to, from); }));
      std::span<std::byte> rest = whole;
      for (std::size_t r = 0; first() && r < ranks(); ++r) {
        const auto size = static_cast<std::size_t>(sizes[r]);
        Underlay(Numbers<std::byte>(to[0][r]), offset, rest.first(size));
        rest = rest.subspan(size);
      }
      return {};
    });
  }

  base::Status ScatterFromFirst(std::span<const std::byte> whole,
                                std::span<std::byte> own) override {
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> sizes, Sizes(own.size(), whole));
    return InSteps(sizes, [&](std::size_t offset, std::size_t length) -> base::Status {
      std::vector<std::vector<at::Tensor>> from = Buffers<std::byte>(length);
      std::span<const std::byte> rest = whole;
      for (std::size_t r = 0; first() && r < ranks(); ++r) {
        const auto size = static_cast<std::size_t>(sizes[r]);
        Overlay(rest.first(size), offset, Numbers<std::byte>(from[0][r]));
        rest = rest.subspan(size);
      }
      std::vector<at::Tensor> to = {Buffer<std::byte>(length)};
      CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->scatter(to, from); }));
      Underlay(Numbers<std::byte>(to[0]), offset, own);
      return {};
    });
  }

  base::Status ScatterShards(std::size_t size, const Reader& read,
                             std::span<float> shard) override {
    CLOISTER_RETURN_IF_ERROR(Meet("scatter shards", size));
    return InPieces(size, [&](std::size_t offset, std::size_t length) -> base::Status {
      std::vector<std::vector<at::Tensor>> from = Buffers<float>(length);
      for (std::size_t r = 0; first() && r < ranks(); ++r) {
        const Range other = ShardOf(size, static_cast<std::int64_t>(r));
        const std::size_t begin = std::min(other.end, other.begin + offset);
        const std::size_t count = std::min(length, other.end - begin);
        if (count > 0) read(begin, Numbers<float>(from[0][r]).first(count));
      }
      std::vector<at::Tensor> to = {Buffer<float>(length)};
      CLOISTER_RETURN_IF_ERROR(Transfer([&] { return backend_->scatter(to, from); }));
      Underlay(Numbers<float>(to[0]), offset, shard);
      return {};
    });
  }

  void RequestStop() override { meeting_->RequestStop(); }
  bool GoOn() const override { return meeting_->GoOn(); }
  base::Status Leave(base::Status own) override { return meeting_->Leave(std::move(own)); }

 private:
  std::size_t ranks() const { return static_cast<std::size_t>(place_.size); }

  base::Status Meet(const std::string& call, std::size_t size, base::Status own = {}) {
    return meeting_->Meet(call + " of " + std::to_string(size), std::move(own));
  }

  // Runs what `start` starts to its end, or until the run cannot go on.
  template <typename Start>
  base::Status Transfer(const Start& start) {
    try {
      const intrusive_ptr<c10d::Work> work = start();
      for (;;) {
        try {
          work->wait(kLook);
          return {};
        } catch (const std::exception&) {
          if (work->isCompleted()) throw;
          CLOISTER_RETURN_IF_ERROR(meeting_->failure());
        }
      }
    } catch (const std::exception& error) {
      const std::string text = error.what();
      return meeting_->Broken(text.substr(0, text.find('\n')));
    }
  }

  // All shards of `size` numbers side by side, so many numbers of each at a time.
  template <typename Body>
  base::Status InPieces(std::size_t size, const Body& body) const {
    const std::size_t longest = ShardOf(size, 0).size();
    const std::size_t piece = std::max<std::size_t>(1, kPiece / ranks());
    for (std::size_t offset = 0; offset < longest; offset += piece) {
      CLOISTER_RETURN_IF_ERROR(body(offset, std::min(piece, longest - offset)));
    }
    return {};
  }

  // What of `range` is whose, so many numbers at a time, rank by rank.
  template <typename Body>
  base::Status InOwners(std::size_t size, const Range& range, const Body& body) const {
    for (std::int64_t owner = 0; owner < place_.size; ++owner) {
      const Range shard = ShardOf(size, owner);
      const std::size_t end = std::min(range.end, shard.end);
      for (std::size_t begin = std::max(range.begin, shard.begin); begin < end; begin += kPiece) {
        CLOISTER_RETURN_IF_ERROR(body(owner, Range{begin, std::min(end, begin + kPiece)}));
      }
    }
    return {};
  }

  // On one rank one for each, as c10d wants them.
  template <typename Number>
  std::vector<std::vector<at::Tensor>> Buffers(std::size_t length, std::int64_t on = 0) const {
    std::vector<std::vector<at::Tensor>> buffers;
    if (rank() != on) return buffers;
    buffers.emplace_back();
    for (std::size_t r = 0; r < ranks(); ++r) buffers[0].push_back(Buffer<Number>(length));
    return buffers;
  }

  // How many bytes each rank has; on the first their sum is all of `whole`.
  base::Result<std::vector<std::int64_t>> Sizes(std::size_t own, std::span<const std::byte> whole) {
    const auto size = static_cast<std::int64_t>(own);
    CLOISTER_ASSIGN_OR_RETURN(std::vector<std::int64_t> sizes, GatherAll(std::span(&size, 1)));
    const auto sum = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
    CLOISTER_CHECK(!first() || static_cast<std::int64_t>(whole.size()) == sum);
    return sizes;
  }

  // Parts of such sizes side by side, so many bytes of each at a time.
  template <typename Body>
  base::Status InSteps(const std::vector<std::int64_t>& sizes, const Body& body) const {
    const auto longest = static_cast<std::size_t>(*std::max_element(sizes.begin(), sizes.end()));
    for (std::size_t offset = 0; offset < longest; offset += kPiece) {
      CLOISTER_RETURN_IF_ERROR(body(offset, std::min(kPiece, longest - offset)));
    }
    return {};
  }

  Placement place_;
  std::unique_ptr<MeetingPlace> meeting_;  // outlives the transfers
  intrusive_ptr<c10d::Backend> backend_;
};

// Once, before the first use of c10d. True, so that a static may hold it.
bool SetUpC10d() {
  // It would print a stack trace where a rank is lost, of which our errors tell.
  FLAGS_caffe2_log_level = c10::GLOG_ERROR;
  // Its record of the last transfers, which nobody reads here, is one for all groups of a process
  // and looked up without a lock: two ranks of one process would tear it.
  ::setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
  // It asks for the name of every address that it connects to. A DNS server that does not answer
  // would hold each rank for 10 s a connection.
  ::setenv("RES_OPTIONS", "timeout:1 attempts:1", /*overwrite=*/0);
  return true;
}

}  // namespace

base::Result<std::unique_ptr<Ranks>> ConnectRanks(const Placement& place, const Patience& patience,
                                                  const std::string& device) {
  if (place.size == 1) return OneRank();
  static const bool set = SetUpC10d();
  static_cast<void>(set);
  CLOISTER_ASSIGN_OR_RETURN(auto meeting, MeetingPlace::Open(place, patience));
  base::Result<intrusive_ptr<c10d::Backend>> backend =
      MakeBackend(place, patience, *meeting, device);
  CLOISTER_RETURN_IF_ERROR(
      meeting->Meet("connect", backend ? base::Status() : base::Forward(std::move(backend))));
  return std::make_unique<GlooRanks>(place, std::move(meeting), std::move(*backend));
}

}  // namespace cloister::trainer
