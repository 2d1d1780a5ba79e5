#include "security/sandbox.h"

#include <seccomp.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace cloister::security {
namespace {

// What opens a socket or gives one an address; what would do so past this filter (io_uring performs
// socket calls of its own); and what would borrow another process's descriptors or memory.
constexpr int kDenied[] = {
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(socketcall),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
};

tl::unexpected<base::Error> Failed(int code) {
  return base::Fail(base::Code::kFailedPrecondition,
                    std::string("cannot take the network from this process (") +
                        std::strerror(-code) +
                        "), seccomp: the kernel and the container must allow seccomp filters");
}

}  // namespace

base::Status DenyNetwork() {
  const auto release = [](void* filter) { seccomp_release(filter); };
  const std::unique_ptr<void, decltype(release)> filter(seccomp_init(SCMP_ACT_ALLOW), release);
  if (filter == nullptr) return Failed(-ENOMEM);
  // For every thread that runs already, too.
  if (const int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); code != 0) {
    return Failed(code);
  }
  for (const int call : kDenied) {
    const int code = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), call, 0);
    if (code != 0) return Failed(code);
  }
  if (const int code = seccomp_load(filter.get()); code != 0) return Failed(code);
  return {};
}

}  // namespace cloister::security
