#include <gtest/gtest.h>

#include "base/result.h"

namespace cloister::base {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return Fail(Code::kInvalidArgument, "odd");
  return value / 2;
}

Result<int> Quarter(int value) {
  CLOISTER_ASSIGN_OR_RETURN(const int half, Half(value));
  CLOISTER_RETURN_IF_ERROR(Half(half));
  return half / 2;
}

TEST(Result, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(7).error().message, "odd");
  EXPECT_EQ(Quarter(6).error().code, Code::kInvalidArgument);
}

TEST(Result, AnnotateKeepsTheCode) {
  const Result<int> annotated = Annotate(Half(1), "here");
  EXPECT_EQ(annotated.error().message, "here: odd");
  EXPECT_EQ(annotated.error().code, Code::kInvalidArgument);
}

TEST(Error, EveryCodeHasGrpcsName) {
  EXPECT_EQ(CodeName(Code::kOk), "OK");
  EXPECT_EQ(CodeName(Code::kUnauthenticated), "UNAUTHENTICATED");
  EXPECT_EQ(CodeName(static_cast<Code>(99)), "UNKNOWN");
}

}  // namespace
}  // namespace cloister::base
