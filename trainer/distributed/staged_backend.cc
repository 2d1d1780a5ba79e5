#include "trainer/distributed/staged_backend.h"

#include <ATen/ATen.h>

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

namespace cloister::trainer {
namespace {

using c10::intrusive_ptr;
using c10d::Work;
using Tensors = std::vector<at::Tensor>;

// Tensors on the CPU and where they are sent from, or arrive, on the device.
class Staged {
 public:
  Staged(const Tensors& here, const c10::Device& device) : here_(here) {
    for (const at::Tensor& tensor : here) {
      there_.push_back(at::empty_like(tensor, tensor.options().device(device)));
    }
  }

  Staged& Send() {
    Copy(there_, here_);
    return *this;
  }
  void Receive() const { Copy(here_, there_); }

  Tensors& there() { return there_; }
  // As gather and scatter take it: none where this rank has no such tensors.
  std::vector<Tensors> AsLists() const {
    std::vector<Tensors> lists;
    if (!there_.empty()) lists.push_back(there_);
    return lists;
  }

 private:
  static void Copy(const Tensors& to, const Tensors& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i]);
  }

  Tensors here_, there_;
};

class StagedWork final : public Work {
 public:
  StagedWork(intrusive_ptr<Work> inner, Staged sent, Staged arriving)
      : inner_(std::move(inner)), sent_(std::move(sent)), arriving_(std::move(arriving)) {}

  bool isCompleted() override { return inner_->isCompleted(); }
  bool isSuccess() const override { return inner_->isSuccess(); }

  // Not by the inner work's own time: NCCL's ends the whole group when it is over.
  bool wait(std::chrono::milliseconds timeout) override {
    const auto start = std::chrono::steady_clock::now();
    while (!inner_->isCompleted()) {
      TORCH_CHECK(timeout == kNoTimeout || std::chrono::steady_clock::now() - start < timeout,
                  "the transfer has not ended yet");
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    if (!inner_->wait()) return false;
    arriving_.Receive();
    return true;
  }

 private:
  intrusive_ptr<Work> inner_;
  Staged sent_, arriving_;  // held until the end
};

class StagedBackend final : public c10d::Backend {
 public:
  StagedBackend(const c10::Device& device, intrusive_ptr<c10d::Backend> inner)
      : Backend(inner->getRank(), inner->getSize()), device_(device), inner_(std::move(inner)) {}

  const std::string getBackendName() const override { return inner_->getBackendName(); }

  intrusive_ptr<Work> broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    Staged both(tensors, device_);
    auto work = inner_->broadcast(both.Send().there(), options);
    return Working(std::move(work), Staged({}, device_), std::move(both));
  }

  intrusive_ptr<Work> gather(std::vector<Tensors>& to, Tensors& from,
                             const c10d::GatherOptions& options) override {
    Staged sent(from, device_), arriving(to.empty() ? Tensors() : to[0], device_);
    std::vector<Tensors> lists = arriving.AsLists();
    auto work = inner_->gather(lists, sent.Send().there(), options);
    return Working(std::move(work), std::move(sent), std::move(arriving));
  }

  intrusive_ptr<Work> scatter(Tensors& to, std::vector<Tensors>& from,
                              const c10d::ScatterOptions& options) override {
    Staged sent(from.empty() ? Tensors() : from[0], device_), arriving(to, device_);
    std::vector<Tensors> lists = sent.Send().AsLists();
    auto work = inner_->scatter(arriving.there(), lists, options);
    return Working(std::move(work), std::move(sent), std::move(arriving));
  }

  intrusive_ptr<Work> _allgather_base(at::Tensor& to, at::Tensor& from,
                                      const c10d::AllgatherOptions& options) override {
    Staged sent({from}, device_), arriving({to}, device_);
    auto work = inner_->_allgather_base(arriving.there()[0], sent.Send().there()[0], options);
    return Working(std::move(work), std::move(sent), std::move(arriving));
  }

  intrusive_ptr<Work> alltoall_base(at::Tensor& to, at::Tensor& from,
                                    std::vector<std::int64_t>& to_sizes,
                                    std::vector<std::int64_t>& from_sizes,
                                    const c10d::AllToAllOptions& options) override {
    Staged sent({from}, device_), arriving({to}, device_);
    auto work = inner_->alltoall_base(arriving.there()[0], sent.Send().there()[0], to_sizes,
                                      from_sizes, options);
    return Working(std::move(work), std::move(sent), std::move(arriving));
  }

 private:
  static intrusive_ptr<Work> Working(intrusive_ptr<Work> inner, Staged sent, Staged arriving) {
    return c10::make_intrusive<StagedWork>(std::move(inner), std::move(sent), std::move(arriving));
  }

  c10::Device device_;
  intrusive_ptr<c10d::Backend> inner_;
};

}  // namespace

c10::intrusive_ptr<c10d::Backend> StageOn(const c10::Device& device,
                                          c10::intrusive_ptr<c10d::Backend> backend) {
  return c10::make_intrusive<StagedBackend>(device, std::move(backend));
}

}  // namespace cloister::trainer
