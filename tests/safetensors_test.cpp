// Reading, writing and refusing safetensors files; a full disk and a killed process while saving.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <framegrad/io/safetensors.hpp>

namespace {

using namespace fg;
namespace fs = std::filesystem;

class SafetensorsFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  std::string in(const std::string& name) const { return (folder / name).string(); }
  std::string put(const std::string& name, std::string_view content) const {
    std::ofstream(in(name), std::ios::binary) << content;
    return in(name);
  }
  /// A file with this header, announced with its true length, and so many bytes of tensors.
  std::string with_header(const std::string& header, std::size_t data_bytes) const {
    std::string s(8, '\0');
    for (int i = 0; i < 8; ++i) s[std::size_t(i)] = char(header.size() >> (8 * i));
    return put("case.safetensors", s + header + std::string(data_bytes, '\1'));
  }
  /// The message with which reading all of `path` is refused; empty if it isn't.
  static std::string refusal(const std::string& path) {
    try {
      Safetensors(path).tensors();
      return "";
    } catch (const FileError& e) {
      return e.what();
    }
  }
  static void expect_refused(const std::string& path, std::string_view part, int line = __builtin_LINE()) {
    const std::string message = refusal(path);
    EXPECT_NE(message.find(part), std::string::npos) << "line " << line << ", said: " << message;
    EXPECT_NE(message.find(fs::path(path).filename().string()), std::string::npos) << "line " << line << ", said: " << message;
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& e : fs::directory_iterator(folder)) names.push_back(e.path().filename().string());
    return names;
  }

  const fs::path folder = fs::temp_directory_path() / ("framegrad_safetensors_" + std::to_string(::getpid()));
};

NamedTensors one_of_each() {
  NamedTensors t;
  t.push_back({"f32", tensor<float, 2>({2, 3}, {1, -2, 3.5f, 0, 1e-40f, INFINITY})});
  t.push_back({"f64", tensor<double, 1>({2}, {0.1, -1e300})});
  t.push_back({"bf16", tensor<bf16, 1>({3}, {bf16(1.0f), bf16(-2.5f), bf16(3e38f)})});
  t.push_back({"f16", tensor<half, 1>({1}, {half(0.333f)})});
  t.push_back({"i64", tensor<std::int64_t, 1>({2}, {INT64_MIN, INT64_MAX})});
  t.push_back({"i32", tensor<std::int32_t, 1>({2}, {-7, 7})});
  t.push_back({"u8", tensor<std::uint8_t, 1>({3}, {0, 128, 255})});
  t.push_back({"bool", tensor<bool, 1>({3}, {true, false, true})});
  t.push_back({"scalar", scalar<float>(42)});
  t.push_back({"empty", empty<float>({3, 0, 2})});
  return t;
}

bool same(const AnyTensor& a, const AnyTensor& b) {
  return a.dtype() == b.dtype() && a.sizes() == b.sizes() && std::memcmp(row_major_copy(a).raw(), row_major_copy(b).raw(), std::size_t(a.bytes())) == 0;
}

TEST_F(SafetensorsFile, RoundTripOfEveryTypeInBothOrders) {
  const NamedTensors tensors = one_of_each();
  for (const auto order : {SafetensorsOrder::by_alignment, SafetensorsOrder::given}) {
    save_safetensors(in("a.safetensors"), tensors, {{"format", "pt"}, {"käse", "ja"}}, order);
    const Safetensors file(in("a.safetensors"));
    EXPECT_EQ(file.metadata().at("käse"), "ja");
    ASSERT_EQ(file.entries().size(), tensors.size());
    for (const auto& [name, t] : tensors) {
      const AnyTensor read = file.tensor(name);
      EXPECT_TRUE(same(read, t)) << name;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read.raw()) % std::uintptr_t(item_bytes(t.dtype())), 0u) << name;
    }
    if (order == SafetensorsOrder::given) { EXPECT_EQ(file.entries()[0].name, "f32"); }
    else EXPECT_EQ(file.entries()[0].dtype, "F64");
  }
  EXPECT_EQ(files(), std::vector<std::string>{"a.safetensors"});  // no temporary stays
}

TEST_F(SafetensorsFile, HeaderIsPaddedAndViewsAreWrittenRowMajor) {
  const auto x = tensor<float, 2>({2, 3}, {1, 2, 3, 4, 5, 6});
  save_safetensors(in("a.safetensors"), {{"t", x.transpose(0, 1)}});
  const auto bytes = read_file(in("a.safetensors"));
  EXPECT_EQ(bytes[0] % 8, 0);
  const Safetensors file(in("a.safetensors"));
  EXPECT_EQ(file.entries()[0].shape, (std::vector<Index>{3, 2}));
  const float expected[] = {1, 4, 2, 5, 3, 6};
  EXPECT_EQ(std::memcmp(file.tensor("t").raw(), expected, sizeof expected), 0);
}

TEST_F(SafetensorsFile, TensorsOutliveTheFileAndNeverChangeIt) {
  save_safetensors(in("a.safetensors"), {{"t", tensor<float, 1>({2}, {1, 2})}});
  AnyTensor t = Safetensors(in("a.safetensors")).tensor("t");
  static_cast<float*>(t.raw())[0] = 99;
  EXPECT_EQ(*static_cast<float*>(Safetensors(in("a.safetensors")).tensor("t").raw()), 1);
  fs::remove(in("a.safetensors"));
  EXPECT_EQ(static_cast<float*>(t.raw())[1], 2);
}

TEST_F(SafetensorsFile, HostileHeaders) {
  expect_refused(in("absent.safetensors"), "No such file");
  expect_refused(folder.string(), "no regular file");
  expect_refused(put("x", ""), "at least 8");
  expect_refused(put("x", "1234567"), "at least 8");
  expect_refused(put("x", std::string("\x10\0\0\0\0\0\0\0{}", 10)), "16 bytes is announced");
  expect_refused(put("x", std::string(8, '\xff') + "{}"), "18446744073709551615 bytes is announced");
  expect_refused(put("x", std::string(8, '\0')), "begin with {");
  expect_refused(with_header("[]", 0), "begin with {");
  expect_refused(with_header("{", 0), "no JSON");
  expect_refused(with_header("{}{}", 0), "no JSON");
  expect_refused(with_header("{\"a\xff\": 1}", 0), "no JSON");
  expect_refused(with_header("{\"a\":" + std::string(1000000, '['), 0), "where none belongs");
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "{\"a\":";
  expect_refused(with_header(deep, 0), "no part of the format");
  EXPECT_EQ(refusal(with_header("{}", 0)), "");
  EXPECT_EQ(refusal(with_header("{\"__metadata__\":{}}   ", 0)), "");
}

TEST_F(SafetensorsFile, HostileEntries) {
  const auto entry = [](const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const auto one = [&](const std::string& dtype, const std::string& shape, const std::string& offsets, std::size_t bytes) {
    return with_header("{" + entry("key", dtype, shape, offsets) + "}", bytes);
  };
  EXPECT_EQ(refusal(one("F32", "[2]", "[0,8]", 8)), "");
  expect_refused(one("F32", "[2]", "[0,8]", 7), "\"key\": bytes [0, 8) of 7");
  expect_refused(one("F32", "[2]", "[0,8]", 9), "end at byte 8 of 9");
  expect_refused(one("F32", "[3]", "[0,8]", 8), "8 bytes for 3 elements of F32");
  expect_refused(one("F32", "[2]", "[4,12]", 12), "behind a gap");
  expect_refused(one("F32", "[2]", "[8,0]", 8), "bytes [8, 0)");
  expect_refused(one("F32", "[2]", "[-8,0]", 8), "negative number");
  expect_refused(one("F32", "[-2]", "[0,8]", 8), "negative number");
  expect_refused(one("F32", "[2.0]", "[0,8]", 8), "fraction");
  expect_refused(one("F32", "[2]", "[0,8,8]", 8), "two numbers");
  expect_refused(one("F32", "[[2]]", "[0,8]", 8), "array where none belongs");
  expect_refused(one("F32", "2", "[0,8]", 8), "number where none belongs");
  expect_refused(one("F32", "[18446744073709551615]", "[0,8]", 8), "too large");
  expect_refused(one("F32", "[4294967296,4294967296,2]", "[0,0]", 0), "more elements than");
  expect_refused(one("F32", "[4611686018427387904]", "[0,0]", 0), "0 bytes for");
  expect_refused(one("F32", "[2]", "[0,9223372036854775807]", 8), "bytes [0, 9223372036854775807)");
  expect_refused(one("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]", 8), "rank 9");
  expect_refused(one("BOOL", "[8]", "[0,7]", 7), "7 bytes for 8");
  expect_refused(with_header("{" + entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[4,12]") + "}", 12), "\"b\": begins at byte 4, inside");
  expect_refused(with_header("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]") + "}", 8), "\"a\": the key stands twice");
  expect_refused(with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0), "are needed");
  expect_refused(with_header("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4), "stands twice");
  expect_refused(with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"code\":\"x\"}}", 4), "no part of the format");
  expect_refused(with_header("{\"a\":null}", 0), "\"a\": null");
  expect_refused(with_header("{\"a\":\"text\"}", 0), "text where none belongs");
  expect_refused(with_header("{\"__metadata__\":{\"k\":1}}", 0), "number where none belongs");
  expect_refused(with_header("{\"__metadata__\":{\"k\":{}}}", 0), "object where none belongs");
  // Bytes that are no bool; and types that we don't have: refused when asked for, not before.
  const std::string path = with_header("{" + entry("flag", "BOOL", "[2]", "[0,2]") + "," + entry("odd", "I16", "[1]", "[2,4]") + "," + entry("next", "F4", "[4]", "[4,6]") + "}", 6);
  EXPECT_EQ(refusal(path).find("\"odd\" is I16") == std::string::npos, false);
  EXPECT_TRUE(Safetensors(path).tensor("flag").defined());
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(-6, std::ios::end).put(7);
  EXPECT_THROW(Safetensors(path).tensor("flag"), FileError);
}

TEST_F(SafetensorsFile, EveryTruncationIsRefused) {
  save_safetensors(in("a.safetensors"), one_of_each());
  const auto bytes = read_file(in("a.safetensors"));
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const std::string cut(bytes.begin(), bytes.begin() + std::ptrdiff_t(n));
    ASSERT_NE(refusal(put("cut.safetensors", cut)), "") << n;
  }
}

TEST_F(SafetensorsFile, NamesThatCantBeWritten) {
  const auto x = scalar<float>(1);
  EXPECT_THROW(save_safetensors(in("a"), {{"x", x}, {"x", x}}), FileError);
  EXPECT_THROW(save_safetensors(in("a"), {{"__metadata__", x}}), FileError);
  EXPECT_THROW(save_safetensors(in("a"), {{"\xff", x}}), FileError);
  EXPECT_THROW(save_safetensors(in("a"), {{"x", AnyTensor()}}), FileError);
  EXPECT_THROW(save_safetensors(in("no/such/folder/a"), {{"x", x}}), FileError);
  EXPECT_TRUE(files().empty());
}

TEST_F(SafetensorsFile, Shards) {
  save_safetensors(in("m-1.safetensors"), {{"a", scalar<float>(1)}, {"b", scalar<float>(2)}});
  save_safetensors(in("m-2.safetensors"), {{"c", scalar<float>(3)}});
  const auto index = [&](const std::string& map) { return put("m.safetensors.index.json", "{\"metadata\":{\"total_size\":12},\"weight_map\":{" + map + "}}"); };
  const std::string good = R"("a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors")";
  const Safetensors file(index(good));
  EXPECT_EQ(file.entries().size(), 3u);
  EXPECT_EQ(*static_cast<float*>(file.tensor("c").raw()), 3);
  expect_refused(index(good + R"(,"d":"m-2.safetensors")"), "\"d\" isn't in m-2.safetensors");
  expect_refused(index(R"("a":"m-2.safetensors")"), "\"a\" isn't in");
  expect_refused(index(good + R"(,"a":"m-1.safetensors")"), "twice");
  expect_refused(index(R"("a":"../m-1.safetensors")"), "no plain name");
  expect_refused(index(R"("a":7)"), "name of a file");
  EXPECT_NE(refusal(index(R"("a":"gone.safetensors")")).find("gone.safetensors: No such file"), std::string::npos);
  expect_refused(put("x.json", "{}"), "weight_map");
  expect_refused(put("x.json", "{\"weight_map\": " + std::string(1000, '[') + std::string(1000, ']') + "}"), "deeper");
  save_safetensors(in("m-2.safetensors"), {{"c", scalar<float>(3)}, {"a", scalar<float>(4)}});
  EXPECT_NE(refusal(index(good)).find("\"a\" is in another file"), std::string::npos);
}

Params model(float value) {
  const Params p;
  p.tensor<float, 2>("layer.weight", {2, 3}, init::constant(value));
  p.tensor<bf16, 1>("layer.bias", {3}, init::constant(value));
  p.buffer<std::int64_t, 1>("count", {1}, init::constant(value));
  p.buffer<float, 1>("table", {4}, init::constant(value), false);  // computed at start-up: not saved
  return p;
}

TEST_F(SafetensorsFile, ParamsAreStrict) {
  save_params(model(2), in("m.safetensors"));
  const Params p = model(1);
  load_params(p, in("m.safetensors"));
  EXPECT_EQ(*static_cast<float*>(p.find("layer.weight")->value.raw()), 2);
  EXPECT_EQ(*static_cast<std::int64_t*>(p.find("count")->value.raw()), 2);
  EXPECT_EQ(*static_cast<float*>(p.find("table")->value.raw()), 1);
  EXPECT_TRUE(p.find("layer.weight")->trainable());

  save_safetensors(in("bad.safetensors"), {{"layer.weight", empty<float>({3, 2})}, {"count", scalar<float>(1)}, {"extra.one", scalar<float>(1)}, {"extra.two", scalar<float>(1)}});
  try {
    load_params(p, in("bad.safetensors"));
    FAIL();
  } catch (const FileError& e) {
    const std::string what = e.what();
    for (const char* part : {"bad.safetensors", "1 missing: layer.bias", "2 unexpected: extra.one, extra.two", "layer.weight (float [3, 2], needed float [2, 3])", "count (float [], needed int64 [1])"})
      EXPECT_NE(what.find(part), std::string::npos) << part << " in " << what;
  }
  EXPECT_EQ(*static_cast<float*>(p.find("layer.weight")->value.raw()), 2);  // nothing was copied
}

TEST_F(SafetensorsFile, ParamsConvertRenameAndAllow) {
  const Params p = model(1);
  save_safetensors(in("m.safetensors"), {{"net.weight", tensor<half, 2>({2, 3}, {half(1.f), half(2.f), half(3.f), half(4.f), half(5.f), half(6.f)})},
                                         {"net.bias", tensor<double, 1>({3}, {0.5, 1.0 / 3, -1})},
                                         {"ema.decay", scalar<float>(0)},
                                         {"junk", scalar<float>(0)}});
  const auto report = load_params(p, in("m.safetensors"), {.allow_missing = [](const std::string& n) { return n == "count"; },
                                                          .allow_unexpected = [](const std::string& n) { return n.starts_with("ema."); },
                                                          .rename = [](const std::string& n) { return n == "junk" ? "" : n.starts_with("net.") ? "layer." + n.substr(4) : n; }});
  EXPECT_EQ(report.missing, std::vector<std::string>{"count"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"ema.decay"});
  EXPECT_EQ(static_cast<float*>(p.find("layer.weight")->value.raw())[5], 6);
  EXPECT_EQ(static_cast<bf16*>(p.find("layer.bias")->value.raw())[1].bits, bf16(1.0 / 3).bits);
}

TEST_F(SafetensorsFile, MappedParametersCanBeTrained) {
  save_params(model(2), in("m.safetensors"));
  const Params p = model(1);
  const auto weight = p.tensor<float, 2>("layer.weight", {2, 3}, init::zeros());
  load_params(p, in("m.safetensors"), {.keep_mapped = true});
  EXPECT_EQ((*weight)(1, 2), 2);  // the layer's handle sees it
  EXPECT_TRUE((*weight).requires_grad());
  (*weight)(1, 2) = 7;
  EXPECT_EQ((*weight)(1, 2), 7);
  EXPECT_EQ(static_cast<float*>(Safetensors(in("m.safetensors")).tensor("layer.weight").raw())[5], 2);
}

TEST_F(SafetensorsFile, AFullDiskLeavesTheOldFile) {
  save_safetensors(in("m.safetensors"), {{"x", scalar<float>(1)}});
  const auto before = read_file(in("m.safetensors"));
  const pid_t child = ::fork();
  if (child == 0) {  // the limit ends with the child
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto large = AnyTensor::empty(Dtype::u8, {Index(4) << 20});
    std::memset(large.raw(), 1, std::size_t(large.bytes()));
    try {
      save_safetensors(in("m.safetensors"), {{"x", large}});
    } catch (const FileError& e) {
      ::_exit(std::string(e.what()).find("File too large") != std::string::npos ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(read_file(in("m.safetensors")), before);
  EXPECT_EQ(files(), std::vector<std::string>{"m.safetensors"});
}

TEST_F(SafetensorsFile, AKilledProcessLeavesAWholeFile) {
  const auto content = [](int n) {
    const auto x = AnyTensor::empty(Dtype::u8, {Index(8) << 20});
    std::memset(x.raw(), n, std::size_t(x.bytes()));
    return NamedTensors{{"x", x}};
  };
  save_safetensors(in("m.safetensors"), content(1));
  int found_between = 0;
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    if (child == 0)
      for (int n = 1;; n = n % 100 + 1) save_safetensors(in("m.safetensors"), content(n));
    ::usleep(useconds_t(3000 + 5700 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const AnyTensor x = Safetensors(in("m.safetensors")).tensor("x");
    const auto* p = static_cast<const std::uint8_t*>(x.raw());
    ASSERT_EQ(x.count(), Index(8) << 20);
    ASSERT_TRUE(std::all_of(p, p + x.count(), [&](std::uint8_t b) { return b == p[0]; }));
    found_between += int(files().size()) > 1;
    for (const auto& f : files())
      if (f != "m.safetensors") fs::remove(in(f));
  }
  EXPECT_GT(found_between, 0);  // a temporary was left: the kill came in the middle of a save
}

TEST(SafetensorsData, FilesOfOthersAreRead) {
  std::vector<std::string> roots;
  if (const char* s = std::getenv("FRAMEGRAD_SHARED")) roots.push_back(s);
#ifdef FRAMEGRAD_SOURCE_DIR
  roots.push_back(std::string(FRAMEGRAD_SOURCE_DIR) + "/../shared/data");
#endif
  int read = 0;
  for (const auto& root : roots) {
    if (!fs::exists(root)) continue;
    for (const auto& e : fs::recursive_directory_iterator(root))
      if (e.path().extension() == ".safetensors") {
        const Safetensors file(e.path().string());
        EXPECT_FALSE(file.entries().empty()) << e.path();
        for (const auto& entry : file.entries()) EXPECT_EQ(file.tensor(entry.name).count(), entry.count()) << entry.name;
        ++read;
      }
    break;
  }
  if (read == 0) GTEST_SKIP() << "no shared data: set FRAMEGRAD_SHARED to its folder";
}

}  // namespace
