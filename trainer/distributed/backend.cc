#include "trainer/distributed/backend.h"

#include <dlfcn.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "trainer/devices.h"
#include "trainer/distributed/nccl_backend.h"
#include "trainer/distributed/staged_backend.h"

namespace cloister::trainer {
namespace {

using c10::intrusive_ptr;
using c10d::Backend;
using Made = base::Result<intrusive_ptr<Backend>>;

intrusive_ptr<c10d::Store> Below(const char* prefix, const MeetingPlace& meeting) {
  return c10::make_intrusive<c10d::PrefixStore>(prefix, meeting.store());
}

intrusive_ptr<Backend> MakeGloo(const Placement& place, const Patience& patience,
                                const MeetingPlace& meeting) {
  using c10d::ProcessGroupGloo;
  const auto options = ProcessGroupGloo::Options::create(patience.silence);
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (place.loopback_only) {
    options->devices.push_back(ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  } else if (interface != nullptr) {
    options->devices.push_back(ProcessGroupGloo::createDeviceForInterface(interface));
  } else {
    options->devices.push_back(ProcessGroupGloo::createDefaultDevice());
  }
  return c10::make_intrusive<ProcessGroupGloo>(Below("gloo", meeting), static_cast<int>(place.rank),
                                               static_cast<int>(place.size), options);
}

// From the library beside this program that is linked to LibTorch's CUDA half.
base::Result<MakeNcclFunction*> NcclMaker() {
  const auto library = std::filesystem::read_symlink("/proc/self/exe").parent_path() / kNcclLibrary;
  void* const opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* const maker = opened == nullptr ? nullptr : dlsym(opened, kMakeNccl);
  if (maker == nullptr) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "NCCL is not to be had (" + std::string(dlerror()) +
                          "): build where CUDA's and NCCL's headers are, or take training.device: "
                          "cpu");
  }
  return reinterpret_cast<MakeNcclFunction*>(maker);
}

Made MakeNccl(const c10::Device& device, const Placement& place, const Patience& patience,
              const MeetingPlace& meeting) {
  const char* const transport = std::getenv("GLOO_DEVICE_TRANSPORT");
  if (transport != nullptr && std::string(transport) != "TCP") {
    return base::Fail(base::Code::kFailedPrecondition,
                      "GLOO_DEVICE_TRANSPORT is " + std::string(transport) +
                          ", and NCCL, by which GPUs talk, has no TLS: unset it where the network "
                          "is trusted, or take training.device: cpu");
  }
  if (place.loopback_only) ::setenv("NCCL_SOCKET_IFNAME", "=lo", /*overwrite=*/0);
  CLOISTER_ASSIGN_OR_RETURN(MakeNcclFunction* const make, NcclMaker());
  return StageOn(device, make(Below("nccl", meeting), static_cast<int>(place.rank),
                              static_cast<int>(place.size), device, patience.silence));
}

}  // namespace

Made MakeBackend(const Placement& place, const Patience& patience, const MeetingPlace& meeting,
                 const std::string& device) {
  CLOISTER_ASSIGN_OR_RETURN(const c10::Device where, OpenDevice(device, place.local_rank));
  try {
    if (where.is_cuda()) return MakeNccl(where, place, patience, meeting);
    return MakeGloo(place, patience, meeting);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return base::Fail(base::Code::kUnavailable,
                      "no connection to the other ranks (" + text.substr(0, text.find('\n')) +
                          "): check the network between their hosts, and name its interface in " +
                          (where.is_cuda() ? "NCCL_SOCKET_IFNAME" : "GLOO_SOCKET_IFNAME"));
  }
}

}  // namespace cloister::trainer
