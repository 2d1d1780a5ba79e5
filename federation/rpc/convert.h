#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"
#include "federation.pb.h"
#include "federation/rpc/messages.h"

namespace cloister::federation::rpc {

// Metadata with which a coordinator greets a site that it lets in.
inline constexpr char kVersionKey[] = "cloister-version";

// Between the wire's messages and ours. FromWire: kDataLoss, naming the field, for anything of a
// wrong size or kind.
v1::SiteMessage ToWire(const SiteMessage& message);
v1::CoordinatorMessage ToWire(const CoordinatorMessage& message);
v1::SignedJob ToWire(const job::SignedJob& job);
base::Result<SiteMessage> FromWire(const v1::SiteMessage& wire);
base::Result<CoordinatorMessage> FromWire(const v1::CoordinatorMessage& wire);
base::Result<job::SignedJob> FromWire(const v1::SignedJob& wire);

base::Result<security::Sha256Digest> DigestFromWire(const std::string& bytes);

grpc::Status ToGrpc(const base::Error& error);

}  // namespace cloister::federation::rpc
