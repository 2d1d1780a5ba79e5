#include "trainer/distributed/backend.h"

#include <cstdlib>
#include <exception>
#include <string>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace cloister::trainer {

base::Result<c10::intrusive_ptr<c10d::Backend>> MakeBackend(const Placement& place,
                                                            const Patience& patience,
                                                            const MeetingPlace& meeting) {
  using c10d::ProcessGroupGloo;
  try {
    const auto options = ProcessGroupGloo::Options::create(patience.silence);
    const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
    if (place.loopback_only) {
      options->devices.push_back(ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    } else if (interface != nullptr) {
      options->devices.push_back(ProcessGroupGloo::createDeviceForInterface(interface));
    } else {
      options->devices.push_back(ProcessGroupGloo::createDefaultDevice());
    }
    return c10::intrusive_ptr<c10d::Backend>(c10::make_intrusive<ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo", meeting.store()),
        static_cast<int>(place.rank), static_cast<int>(place.size), options));
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return base::Fail(base::Code::kUnavailable,
                      "no connection to the other ranks (" + text.substr(0, text.find('\n')) +
                          "): check the network between their hosts, and name its interface in "
                          "GLOO_SOCKET_IFNAME");
  }
}

}  // namespace cloister::trainer
