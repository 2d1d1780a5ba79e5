// The transport's door: mutual TLS 1.3 only, one authority, names that match.

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "federation.grpc.pb.h"
#include "federation/rpc/client.h"
#include "federation/rpc/event_queue.h"
#include "federation/rpc/server.h"
#include "tests/federation/support/parties.h"

namespace cloister::federation::test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::seconds kPatience{5};

class Tls : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = rpc::Server::Start("127.0.0.1:0", authority_.Coordinator()).value();
    Authority::Write(authority_.Site("site-0"), folder_.path());
  }

  base::Result<std::unique_ptr<rpc::SiteStream>> Dial(const rpc::TlsFiles& files) {
    return rpc::SiteStream::Dial(server_->address(), files, kPatience, {});
  }

  // What `openssl s_client` says to this server with the site's certificate.
  std::string Openssl(const std::string& flags) {
    const std::string folder = folder_.path().string();
    const std::string command = "openssl s_client -connect " + server_->address() + " -CAfile " +
                                folder + "/ca.pem -cert " + folder + "/certificate.pem -key " +
                                folder + "/key.pem -alpn h2 " + flags + " </dev/null 2>&1";
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    std::string text;
    std::array<char, 4096> buffer{};
    while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
      text.append(buffer.data(), size);
    }
    return text;
  }

  Authority authority_;
  TemporaryFolder folder_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(Tls, ASiteOfTheSameAuthorityGetsIn) {
  const auto stream = Dial(authority_.Site("site-0"));
  ASSERT_TRUE(stream) << stream.error().message;
  const auto event = server_->Next(std::chrono::steady_clock::now() + std::chrono::seconds(5), {});
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<rpc::Attended>(*event).site, "site-0");
}

TEST_F(Tls, Version13WorksAndVersion12DoesNot) {
  const std::string modern = Openssl("-tls1_3");
  EXPECT_THAT(modern, HasSubstr("New, TLSv1.3"));
  EXPECT_THAT(modern, HasSubstr("Verify return code: 0 (ok)"));
  const std::string old = Openssl("-tls1_2");
  EXPECT_THAT(old, Not(HasSubstr("New, TLSv1.2")));
  EXPECT_THAT(old, HasSubstr("no peer certificate available"));
}

TEST_F(Tls, NoCertificateIsRefused) {
  rpc::TlsFiles files = authority_.Site("site-0");
  files.certificate_pem.clear();
  files.key_pem.clear();
  const auto stream = Dial(files);
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, base::Code::kUnavailable);
  EXPECT_THAT(stream.error().message, HasSubstr("authority"));
}

TEST_F(Tls, ACertificateOfAnotherAuthorityIsRefused) {
  const Authority other;
  rpc::TlsFiles files = other.Site("site-0");
  files.authority_pem = authority_.Coordinator().authority_pem;
  const auto stream = Dial(files);
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, base::Code::kUnavailable);
}

TEST_F(Tls, ACoordinatorOfAnotherAuthorityIsRefusedByTheSite) {
  const Authority other;
  const auto stream = Dial(other.Site("site-0"));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, base::Code::kUnavailable);
}

// A site that poses as the coordinator to its peers.
TEST_F(Tls, AClientCertificateIsNoCoordinators) {
  const auto impostor = rpc::Server::Start("127.0.0.1:0", authority_.Site("site-1"));
  ASSERT_TRUE(impostor);
  const auto stream =
      rpc::SiteStream::Dial((*impostor)->address(), authority_.Site("site-0"), kPatience, {});
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, base::Code::kUnavailable);
}

TEST_F(Tls, AHelloInAnotherNameIsRefused) {
  rpc::TlsFiles files = authority_.Site("site-0");
  files.name = "site-1";
  const auto stream = Dial(files);
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, base::Code::kUnauthenticated);
  EXPECT_THAT(stream.error().message, HasSubstr("site-0"));
}

TEST_F(Tls, NobodyListeningIsSaid) {
  const std::string address = server_->address();
  server_->Shutdown(std::chrono::milliseconds(0));
  const auto stream =
      rpc::SiteStream::Dial(address, authority_.Site("site-0"), std::chrono::seconds(0), {});
  ASSERT_FALSE(stream);
  EXPECT_THAT(stream.error().message, HasSubstr("nothing listens"));
}

// A stream that does only what the test lets it do.
struct RawCall {
  RawCall(const std::string& address, const rpc::TlsFiles& files) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = files.authority_pem;
    options.pem_private_key = files.key_pem;
    options.pem_cert_chain = files.certificate_pem;
    grpc::ChannelArguments apart;
    apart.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub = v1::Federation::NewStub(
        grpc::CreateCustomChannel(address, grpc::SslCredentials(options), apart));
    stream = stub->Attend(&context);
  }

  std::unique_ptr<v1::Federation::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SiteMessage, v1::CoordinatorMessage>> stream;
};

// It was told the end, and neither reads it nor ends its stream.
TEST_F(Tls, ASiteThatDoesNotHangUpIsCutOff) {
  RawCall call(server_->address(), authority_.Site("site-0"));
  v1::SiteMessage hello;
  hello.mutable_hello()->set_version(rpc::kVersion);
  hello.mutable_hello()->set_site("site-0");
  ASSERT_TRUE(call.stream->Write(hello));
  const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const auto attended = server_->Next(soon, {});
  ASSERT_TRUE(attended);
  const rpc::ConnectionId connection = std::get<rpc::Attended>(*attended).connection;
  server_->Send(connection, rpc::Protocol{protocol::Bytes(std::size_t{256} << 10)});
  server_->Close(connection, {});
  const auto lost = server_->Next(soon, {});
  ASSERT_TRUE(lost) << lost.error().message;
  EXPECT_TRUE(std::holds_alternative<rpc::Lost>(*lost));
  call.context.TryCancel();
  call.stream->Finish();
}

// Streams that never say hello take threads: of one name only a few get in.
TEST_F(Tls, OneNameHasFewOpenCalls) {
  const rpc::TlsFiles files = authority_.Site("site-0");
  std::vector<std::unique_ptr<RawCall>> callers;
  std::promise<grpc::Status> refused;
  std::once_flag once;
  std::vector<std::jthread> waiting;
  for (int i = 0; i < 5; ++i) {
    auto caller = std::make_unique<RawCall>(server_->address(), files);
    waiting.emplace_back([&, stream = caller->stream.get()] {
      const grpc::Status status = stream->Finish();
      std::call_once(once, [&] { refused.set_value(status); });
    });
    callers.push_back(std::move(caller));
  }
  // Whichever came last is not let in, nor is another while the four are silent.
  const grpc::Status first = refused.get_future().get();
  EXPECT_EQ(first.error_code(), grpc::StatusCode::ABORTED) << first.error_message();
  const auto next = Dial(files);
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, base::Code::kAborted) << next.error().message;
  EXPECT_THAT(next.error().message, HasSubstr("too many calls of site-0"));
  EXPECT_TRUE(Dial(authority_.Site("site-1")));  // nobody else is kept out
  for (auto& caller : callers) caller->context.TryCancel();
}

TEST(ServerAddress, HasAPortThatExists) {
  const Authority authority;
  for (const char* listen : {"127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:-1",
                             "127.0.0.1:", "127.0.0.1", ":7000", "127.0.0.1:7x"}) {
    const auto server = rpc::Server::Start(listen, authority.Coordinator());
    ASSERT_FALSE(server) << listen;
    EXPECT_EQ(server.error().code, base::Code::kInvalidArgument) << listen;
  }
}

TEST(EventQueue, ADeadlineComesAlsoWhileEventsWait) {
  rpc::EventQueue queue;
  ASSERT_TRUE(queue.Push(rpc::Lost{1}));
  const auto now = std::chrono::steady_clock::now();
  const auto late = queue.Pop(now, {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, base::Code::kDeadlineExceeded);
  EXPECT_TRUE(queue.Pop(now + std::chrono::minutes(1), {}));
}

TEST_F(Tls, ATamperedCertificateFileIsNamed) {
  std::string text = base::ReadFile(folder_.path() / "certificate.pem").value();
  const std::size_t middle = text.size() / 2;
  text[middle] = text[middle] == 'A' ? 'B' : 'A';
  ASSERT_TRUE(base::WriteFile(folder_.path() / "certificate.pem", text));
  const auto files = rpc::ReadTlsFiles(folder_.path(), rpc::Side::kClient);
  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().message, HasSubstr("certificate.pem"));
  EXPECT_THAT(files.error().code, AnyOf(base::Code::kDataLoss, base::Code::kUnauthenticated));
}

TEST_F(Tls, ACertificateForTheOtherSideIsRefusedWhenRead) {
  EXPECT_TRUE(rpc::ReadTlsFiles(folder_.path(), rpc::Side::kClient));
  const auto files = rpc::ReadTlsFiles(folder_.path(), rpc::Side::kServer);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, base::Code::kUnauthenticated);
}

}  // namespace
}  // namespace cloister::federation::test
