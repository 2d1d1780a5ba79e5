#pragma once

#include <string>
#include <string_view>

namespace cloister::base {

// gRPC's canonical codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html), so that an
// error crosses the wire without being translated.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// What went wrong, told to a person: "what, where: how to mend it". The message never holds a
// per-record value or a secret.
//
// How the command line maps a code to its exit status (see ExitStatus in cli/):
//   kInvalidArgument, kUnimplemented       2  wrong usage (flag, recipe, policy file)
//   kPermissionDenied, kResourceExhausted  3  refused (privacy budget, a site's veto, unnamed site)
//   any other                              1  failed (unreadable or malformed input, a lost peer)
// A malformed model, data file or certificate is kDataLoss, a missing one kNotFound: exit 1.
struct Error {
  Code code = Code::kUnknown;
  std::string message;
};

std::string_view CodeName(Code code);

}  // namespace cloister::base
