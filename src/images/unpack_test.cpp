#include "images/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <zstd.h>

#include "base/limits.h"
#include "images/modules.h"
#include "images/test_registry.h"

namespace skiff::images {
namespace {

using namespace testing;

// Makes tar files entry by entry, hostile ones included.
class Tar {
public:
    Tar() : writer_(archive_write_new()) {
        archive_write_set_format_pax_restricted(writer_);
        archive_write_set_bytes_in_last_block(writer_, 1);
        archive_write_open(writer_, this, nullptr, &Tar::on_write, nullptr);
    }
    ~Tar() { archive_write_free(writer_); }
    Tar(const Tar&) = delete;
    Tar& operator=(const Tar&) = delete;

    Tar& file(const std::string& name, const std::string& contents, unsigned mode = 0644) {
        return add(name, AE_IFREG, mode, contents, "", "");
    }
    Tar& folder(const std::string& name) { return add(name, AE_IFDIR, 0755, "", "", ""); }
    Tar& link(const std::string& name, const std::string& target) {
        return add(name, AE_IFLNK, 0777, "", target, "");
    }
    Tar& hard_link(const std::string& name, const std::string& target) {
        return add(name, AE_IFREG, 0644, "", "", target);
    }
    Tar& device(const std::string& name) { return add(name, AE_IFCHR, 0666, "", "", ""); }
    std::string finish() {
        archive_write_close(writer_);
        return bytes_;
    }

private:
    static la_ssize_t on_write(archive*, void* self, const void* bytes, std::size_t size) {
        static_cast<Tar*>(self)->bytes_.append(static_cast<const char*>(bytes), size);
        return static_cast<la_ssize_t>(size);
    }
    Tar& add(const std::string& name, unsigned type, unsigned mode, const std::string& contents,
             const std::string& symlink, const std::string& hardlink) {
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, name.c_str());
        archive_entry_set_filetype(entry, type);
        archive_entry_set_perm(entry, static_cast<mode_t>(mode));
        archive_entry_set_size(entry, static_cast<la_int64_t>(contents.size()));
        archive_entry_set_mtime(entry, 1'000'000, 0);
        if (!symlink.empty()) {
            archive_entry_set_symlink(entry, symlink.c_str());
        }
        if (!hardlink.empty()) {
            archive_entry_set_hardlink(entry, hardlink.c_str());
        }
        EXPECT_EQ(archive_write_header(writer_, entry), ARCHIVE_OK);
        archive_write_data(writer_, contents.data(), contents.size());
        archive_entry_free(entry);
        return *this;
    }

    archive* writer_;
    std::string bytes_;
};

std::string gzip(const std::string& plain) {
    std::string out;
    TemporaryFolder folder;
    std::ofstream(folder.path() / "t", std::ios::binary) << plain;
    std::string command = "gzip -n " + (folder.path() / "t").string();
    EXPECT_EQ(std::system(command.c_str()), 0);
    return read_text(folder.path() / "t.gz");
}

std::string zstd(const std::string& plain) {
    std::string out(ZSTD_compressBound(plain.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
    return out;
}

class Unpack : public ::testing::Test {
protected:
    Result<void> unpack_bytes(const std::string& bytes, std::optional<Digest> diff_id = {}) {
        fs::path file = folder_.path() / "blob";
        std::ofstream(file, std::ios::binary) << bytes;
        fs::create_directories(target_);
        UnpackRequest request{file,       target_,     Content::layer, std::move(diff_id),
                              bytes_max_, entries_max_};
        return unpack(request);
    }
    static mode_t mode_of(const fs::path& path) {
        struct stat found{};
        EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
        return found.st_mode;
    }

    TemporaryFolder folder_;
    fs::path target_ = folder_.path() / "out";
    std::uint64_t bytes_max_ = 100U << 20;
    std::uint64_t entries_max_ = 100;
};

TEST_F(Unpack, KeepsFilesFoldersModesAndLinks) {
    Tar tar;
    tar.folder("bin").file("bin/app.wasm", "wasm", 04755).file("deep/er/x", "x");
    tar.hard_link("bin/again", "bin/app.wasm")
        .link("rel", "bin/app.wasm")
        .link("bin/abs", "/deep/er/x");
    auto done = unpack_bytes(tar.finish());
    ASSERT_TRUE(done) << format_as(done.error());
    EXPECT_EQ(read_text(target_ / "bin/again"), "wasm");
    EXPECT_EQ(mode_of(target_ / "bin/app.wasm") & 07777, 0755U);
    EXPECT_EQ(fs::read_symlink(target_ / "bin/abs"), "../deep/er/x");
    EXPECT_EQ(read_text(target_ / "bin/abs"), "x");
    EXPECT_EQ(fs::hard_link_count(target_ / "bin/app.wasm"), 2U);
}

TEST_F(Unpack, ReadsGzipAndZstdAndChecksTheDiffId) {
    Tar tar;
    // More than one output buffer, and compressible, so that output outlives input.
    std::string plain = tar.file("zeros", std::string(5'000'000, '\0')).finish();
    Digest right = digest_of(plain);
    for (const std::string& bytes : {plain, gzip(plain), zstd(plain)}) {
        (void)os::remove_tree(target_);
        auto done = unpack_bytes(bytes, right);
        EXPECT_TRUE(done) << format_as(done.error());
        EXPECT_EQ(fs::file_size(target_ / "zeros"), 5'000'000U);
        EXPECT_EQ(unpack_bytes(bytes, digest_of("other")).error().code, Code::corrupt);
        std::string cut = bytes.substr(0, bytes.size() / 2);
        EXPECT_FALSE(unpack_bytes(cut, right));
    }
}

TEST_F(Unpack, TurnsWhiteoutsIntoThoseOfOverlayfs) {
    Tar tar;
    tar.file("a/.wh.gone", "")
        .file("b/.wh..wh..opq", "")
        .file("b/new", "1")
        .file(".wh..wh.plnk", "");
    auto done = unpack_bytes(tar.finish());
    ASSERT_TRUE(done) << format_as(done.error());
    EXPECT_TRUE(S_ISCHR(mode_of(target_ / "a/gone")));
    char value = 0;
    EXPECT_TRUE(::getxattr((target_ / "b").c_str(), "trusted.overlay.opaque", &value, 1) == 1 ||
                ::getxattr((target_ / "b").c_str(), "user.overlay.opaque", &value, 1) == 1);
    EXPECT_FALSE(fs::exists(target_ / ".wh..wh.plnk"));
}

TEST_F(Unpack, NeverLeavesItsFolder) {
    fs::path outside = folder_.path() / "outside";
    fs::create_directory(outside);
    std::ofstream(outside / "secret") << "secret";
    std::string climb = "../outside/x";
    Tar dots;
    EXPECT_EQ(unpack_bytes(dots.file(climb, "evil").finish()).error().code, Code::corrupt);
    Tar through_link;
    through_link.link("out", "../outside").file("out/evil", "evil");
    (void)unpack_bytes(through_link.finish());
    Tar absolute_link;
    absolute_link.link("abs", outside.string()).file("abs/evil", "evil");
    (void)unpack_bytes(absolute_link.finish());
    Tar hard;
    EXPECT_FALSE(unpack_bytes(hard.hard_link("h", "../outside/secret").finish()));
    Tar over_link;
    over_link.link("f", (outside / "secret").string()).file("f", "evil");
    EXPECT_TRUE(unpack_bytes(over_link.finish()));
    Tar whiteout;
    (void)unpack_bytes(whiteout.file("x/.wh...", "").finish());
    EXPECT_EQ(read_text(outside / "secret"), "secret");
    EXPECT_EQ(std::distance(fs::directory_iterator(outside), fs::directory_iterator()), 1);
    EXPECT_EQ(read_text(target_ / "f"), "evil");
}

TEST_F(Unpack, LeavesOutDevices) {
    Tar tar;
    ASSERT_TRUE(unpack_bytes(tar.device("dev/mem").file("x", "x").finish()));
    EXPECT_FALSE(fs::exists(target_ / "dev/mem"));
    EXPECT_TRUE(fs::exists(target_ / "x"));
}

TEST_F(Unpack, BoundsEntriesAndBytes) {
    entries_max_ = 3;
    Tar many;
    many.file("1", "").file("2", "").file("3", "").file("4", "");
    EXPECT_EQ(unpack_bytes(many.finish()).error().code, Code::exhausted);
    entries_max_ = 100;
    bytes_max_ = 1U << 20;
    Tar bomb;
    std::string zeros = bomb.file("bomb", std::string(4U << 20, '\0')).finish();
    EXPECT_EQ(unpack_bytes(gzip(zeros)).error().code, Code::exhausted);
}

TEST(UnpackLayer, AppearsCompleteOrNotAtAll) {
    TemporaryFolder folder;
    Tar tar;
    std::string bytes = tar.file("x", "x").finish();
    fs::path blob = folder.path() / "blob";
    std::ofstream(blob, std::ios::binary) << bytes;
    fs::path target = folder.path() / "layers" / "one";
    EXPECT_FALSE(unpack_layer(blob, digest_of("wrong"), target));
    EXPECT_TRUE(fs::is_empty(folder.path() / "layers"));
    EXPECT_TRUE(unpack_layer(blob, digest_of(bytes), target));
    EXPECT_EQ(read_text(target / "x"), "x");
    EXPECT_TRUE(unpack_layer(blob, digest_of(bytes), target));
}

class Modules : public Unpack {
protected:
    fs::path layer(const std::string& name, Tar& tar) {
        target_ = folder_.path() / name;
        auto done = unpack_bytes(tar.finish());
        EXPECT_TRUE(done) << format_as(done.error());
        return target_;
    }
    std::string find(const std::string& command, const std::string& working_dir = "") {
        ModuleQuery query{layers_, command, working_dir, {"/usr/bin", "/bin"}, nullptr};
        auto found = find_module_in(query);
        return found ? read_text(found->path)
                     : "error: " + std::string(to_string(found.error().code));
    }
    std::vector<fs::path> layers_;
};

TEST_F(Modules, AreFoundAsAProcessWouldFindThem) {
    Tar low;
    low.file("bin/tool.wasm", "low tool").file("app/x.wasm", "low x").file("app/gone.wasm", "gone");
    low.file("old/hidden.wasm", "hidden").link("bin/alias.wasm", "/app/x.wasm");
    low.link("loop", "loop2").link("loop2", "loop").link("out", "../../../../etc");
    Tar high;
    high.file("app/x.wasm", "high x").file("app/.wh.gone.wasm", "").file("old/.wh..wh..opq", "");
    high.link("lib", "app");
    layers_.push_back(layer("low", low));
    layers_.push_back(layer("high", high));
    EXPECT_EQ(find("/app/x.wasm"), "high x");
    EXPECT_EQ(find("/bin/alias.wasm"), "high x");
    EXPECT_EQ(find("/lib/../lib/x.wasm"), "high x");
    EXPECT_EQ(find("tool.wasm"), "low tool");
    EXPECT_EQ(find("x.wasm", "/app"), "high x");
    EXPECT_EQ(find("./x.wasm", "/app"), "high x");
    EXPECT_EQ(find("/app/gone.wasm"), "error: not_found");
    EXPECT_EQ(find("/old/hidden.wasm"), "error: not_found");
    EXPECT_EQ(find("/loop"), "error: corrupt");
    EXPECT_EQ(find("/out/passwd"), "error: not_found");
    EXPECT_EQ(find("/app"), "error: not_found");
    EXPECT_EQ(find("/nowhere.wasm"), "error: not_found");
}

TEST_F(Modules, AreListedAsAProcessWouldSeeThem) {
    Tar low;
    low.file("a.wasm", "low a").file("app/x.wasm", "low x").file("app/gone.wasm", "gone");
    low.file("old/hidden.wasm", "hidden").file("app/notes.txt", "no module");
    low.link("app/alias.wasm", "/app/x.wasm").file("dir.wasm/inner.wasm", "inner");
    Tar high;
    high.file("app/x.wasm", "upper x").file("app/.wh.gone.wasm", "").file("old/.wh..wh..opq", "");
    layers_.push_back(layer("low", low));
    layers_.push_back(layer("high", high));
    auto files = wasm_files_in(layers_);
    ASSERT_TRUE(files);
    std::vector<std::string> seen;
    for (const WasmFile& file : *files) {
        seen.push_back(fmt::format("{} {}", file.path, file.size.value));
    }
    EXPECT_EQ(seen,
              (std::vector<std::string>{"/a.wasm 5", "/app/x.wasm 7", "/dir.wasm/inner.wasm 5"}));
    // Whether an upper layer hides them or not, for whether code is still of use.
    auto digests = find_digests_in(layers_[0], {{digest_of("low x"), 5},
                                                {digest_of("gone"), 4},
                                                {digest_of("upper x"), 7},
                                                {digest_of("no module"), 9}});
    ASSERT_TRUE(digests);
    EXPECT_EQ(*digests, (std::set<Digest>{digest_of("low x"), digest_of("gone")}));
    EXPECT_FALSE(wasm_files_in({layers_[0] / "nowhere"}));
}

TEST(RelativeLink, PointsToTheSamePlaceInsideTheRoot) {
    EXPECT_EQ(relative_link("a/b/link", "/usr/x"), "../../usr/x");
    EXPECT_EQ(relative_link("link", "/usr"), "usr");
    EXPECT_EQ(relative_link("link", "/"), ".");
    EXPECT_EQ(relative_link("a/link", "//x"), "../x");
}

TEST_F(Modules, RefusesALargeFileBeforeReadingIt) {
    Tar tar;
    tar.file("x.wasm", "x").file("y.wasm", "y");
    layers_ = {layer("one", tar)};
    // Sparse, as an archive may make it.
    fs::resize_file(layers_[0] / "x.wasm", kModuleBytesMax.value + 1);
    ModuleQuery query{layers_, "/x.wasm", "", {}, nullptr};
    auto refused = find_module_in(query);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::exhausted);
    EXPECT_NE(refused.error().message.find("1073741825 bytes, more than the 1.0 GiB"),
              std::string::npos)
        << refused.error().message;
}

TEST_F(Modules, AFileIsHashedOnce) {
    Tar tar;
    tar.file("x.wasm", "x");
    layers_ = {layer("one", tar)};
    ModuleQuery query{layers_, "/x.wasm", "", {}, nullptr};
    auto first = find_module_in(query);
    ASSERT_TRUE(first);
    // Something else than the truth, to see where it comes from.
    auto known = std::make_shared<KnownDigests>();
    known->emplace(first->stamp, digest_of("remembered"));
    query.known = known;
    EXPECT_EQ(find_module_in(query)->digest, digest_of("remembered"));
    std::ofstream(layers_[0] / "x.wasm") << "other";
    EXPECT_EQ(find_module_in(query)->digest, digest_of("other"));
}

}  // namespace
}  // namespace skiff::images
